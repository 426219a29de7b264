//! Writes the frames of the parser's corpus as first inputs of the fuzz target `parse`.

#[path = "../../../proto/tests/corpus/mod.rs"]
mod corpus;

fn main() -> std::io::Result<()> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/parse");
    std::fs::create_dir_all(folder)?;
    for case in corpus::cases() {
        std::fs::write(format!("{folder}/{}", case.name), case.frame)?;
    }
    Ok(())
}
