//! One endpoint can not hurt another.
