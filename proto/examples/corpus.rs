//! Writes the frames of the parser's corpus into a folder, a file for each: `corpus FOLDER`.
//! Fuzzers begin with them.

#[path = "../tests/corpus/mod.rs"]
mod corpus;

fn main() -> std::io::Result<()> {
    let Some(folder) = std::env::args_os().nth(1).map(std::path::PathBuf::from) else {
        return Err(std::io::Error::other("a folder to write into is expected"));
    };
    std::fs::create_dir_all(&folder)?;
    for case in corpus::cases() {
        std::fs::write(folder.join(case.name), case.frame)?;
    }
    Ok(())
}
