//! This machine lacks what a connection needs: nobody but itself is to blame.
