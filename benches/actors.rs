//! What a supervisor costs: one event goes to 100,000 endpoints, and what their actors hold afterwards is measured.
//! `cargo bench --bench actors`.

#[path = "support/engine.rs"]
mod engine;

use engine::{delivered, publication, with_actors};

const ENDPOINTS: usize = 100_000;

fn main() -> anyhow::Result<()> {
    let measured = with_actors(ENDPOINTS, async |actors| {
        let before = resident_bytes()?;
        actors.handle.publish(publication()).await?;
        delivered(actors.handle.store().as_ref()).await?;
        anyhow::Ok((before, resident_bytes()?))
    })?;
    let (before, after) = measured?;
    println!("resident with {ENDPOINTS} configured webhooks and no actor: {} MB", before / 1_000_000);
    println!("with an idle actor for each: {} MB", after / 1_000_000);
    println!("bytes for each actor: {}", (after.saturating_sub(before)) / ENDPOINTS as u64);
    Ok(())
}

fn resident_bytes() -> anyhow::Result<u64> {
    let metrics = metrics_process::collector::collect();
    metrics.resident_memory_bytes.ok_or_else(|| anyhow::anyhow!("this system does not tell"))
}
