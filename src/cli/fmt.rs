//! `tartan fmt`: pipelines made tidy in place.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::{Exit, Fault, out};
use crate::diag::{Code, Diagnostic};
use crate::spec;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipelines' files; `-` reads standard input and writes standard output
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write nothing; name the files that are not tidy, and exit with 3 if there are any
    #[arg(long)]
    check: bool,
}

pub(super) fn run(args: &Args) -> Result<Exit, Fault> {
    let mut untidy = 0;
    let mut faults = vec![];
    for file in &args.files {
        let text = match read(file) {
            Ok(text) => text,
            Err(error) => {
                let what = format!("failed to read `{}`: {error}", file.display());
                faults.push(
                    Diagnostic::error(Code::UnreadablePipeline, what)
                        .help("check its name, and that you may read it"),
                );
                continue;
            }
        };
        let tidy = match spec::format(file, text.strip_prefix('\u{feff}').unwrap_or(&text)) {
            Ok(tidy) => tidy,
            Err(found) => {
                faults.extend(found);
                continue;
            }
        };
        let is_tidy = tidy == text;
        untidy += usize::from(!is_tidy);
        match (args.check, is_stdin(file)) {
            (true, _) | (false, false) if is_tidy => {}
            (true, _) => out::line(file.display()),
            (false, true) => out::bytes(tidy.as_bytes()),
            (false, false) => {
                replace(file, &tidy).map_err(|error| {
                    Fault::failed(
                        Code::System,
                        format!("failed to write `{}`: {error}", file.display()),
                        None,
                    )
                })?;
                out::note(format_args!("tidied {}", file.display()));
            }
        }
    }
    if !faults.is_empty() {
        return Err(Fault::wrong(faults));
    }
    Ok(if args.check && untidy > 0 { Exit::Work } else { Exit::Done })
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn read(file: &Path) -> std::io::Result<String> {
    if !is_stdin(file) {
        return std::fs::read_to_string(file);
    }
    let mut text = String::new();
    std::io::stdin().lock().read_to_string(&mut text)?;
    Ok(text)
}

/// Puts a new text in a file's place, at once or not at all, with the file's permissions.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    // Of a link, what it leads to.
    let file = file.canonicalize()?;
    let mut new = tempfile::NamedTempFile::new_in(file.parent().unwrap_or(Path::new("/")))?;
    new.write_all(text.as_bytes())?;
    new.as_file().set_permissions(std::fs::metadata(&file)?.permissions())?;
    new.as_file().sync_all()?;
    new.persist(&file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_permissions_and_through_its_link() {
        let folder = tempfile::tempdir().expect("folder");
        let (file, link) = (folder.path().join("p.yaml"), folder.path().join("link.yaml"));
        std::fs::write(&file, "a:   1\n").expect("write");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).expect("permissions");
        std::os::unix::fs::symlink(&file, &link).expect("link");
        let args = |check| Args { files: vec![link.clone()], check };
        assert_eq!(run(&args(true)).expect("check"), Exit::Work);
        assert_eq!(run(&args(false)).expect("format"), Exit::Done);
        assert_eq!(std::fs::read_to_string(&file).expect("read"), "a: 1\n");
        assert_eq!(std::fs::metadata(&file).expect("metadata").permissions().mode() & 0o777, 0o640);
        assert!(std::fs::symlink_metadata(&link).expect("metadata").is_symlink());
        assert_eq!(run(&args(true)).expect("check"), Exit::Done);
        std::fs::write(&file, "a: [1\n").expect("write");
        assert!(run(&args(false)).is_err());
        assert_eq!(std::fs::read_to_string(&file).expect("read"), "a: [1\n");
    }
}
