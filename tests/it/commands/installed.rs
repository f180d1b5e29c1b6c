//! What is installed beside the program, completions of shells and pages of the manual: derived from the
//! command line itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory;
use clap_complete::Shell;
use mdca_lake::cli::Cli;

/// Set this to write the files anew.
const UPDATE: &str = "UPDATE_SCHEMAS";

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(name)
}

/// The command line of a version, without the commit that a released program names.
fn command_line() -> clap::Command {
    let version = env!("CARGO_PKG_VERSION");
    Cli::command().version(version)
}

/// The folder of `deploy/` holds these files and no others.
fn expect_files(name: &str, files: &[(String, Vec<u8>)]) {
    let folder = folder(name);
    if std::env::var_os(UPDATE).is_some() {
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in files {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
    for (name, bytes) in files {
        let path = folder.join(name);
        let file = fs::read(&path).unwrap_or_default();
        assert!(
            file == *bytes,
            "{} is out of date: run with {UPDATE}=1 and look at the diff",
            path.display()
        );
    }
    let there = fs::read_dir(&folder).unwrap();
    let there = there.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let named = files.iter().map(|(name, _)| name.clone());
    assert_eq!(
        there.collect::<BTreeSet<_>>(),
        named.collect::<BTreeSet<_>>()
    );
}

/// What a tool says of files; none where it is not on this machine.
fn said_by(tool: &str, args: &[&str], files: &[PathBuf]) -> Option<String> {
    let Ok(output) = Command::new(tool).args(args).args(files).output() else {
        println!("no {tool}: what is installed for it is not read");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{tool}: {said}");
    Some(said)
}

/// `clap_complete` 4.6 names the commands of a program with a hyphen in its own name in two ways, and finds
/// none of them: where it looks at a command is not where it says which one it is.
fn with_one_name(completions: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(completions).unwrap();
    let text = text.replace("mdca__subcmd__lake__", "mdca__lake__");
    text.into_bytes()
}

#[test]
fn the_completions_are_those_of_the_command_line() {
    let shells = [
        (Shell::Bash, "mdca-lake.bash", "bash"),
        (Shell::Zsh, "_mdca-lake", "zsh"),
        (Shell::Fish, "mdca-lake.fish", "fish"),
    ];
    let file = |(shell, name, _): &(Shell, &str, &str)| {
        let mut completions = Vec::new();
        clap_complete::generate(*shell, &mut command_line(), "mdca-lake", &mut completions);
        if *shell == Shell::Bash {
            completions = with_one_name(completions);
        }
        ((*name).to_owned(), completions)
    };
    expect_files("completions", &shells.iter().map(file).collect::<Vec<_>>());
    for (_, name, shell) in shells {
        let said = said_by(shell, &["-n"], &[folder("completions").join(name)]);
        assert_eq!(said.unwrap_or_default(), "", "{shell}");
    }
}

/// What bash offers after these words.
fn offered(words: &[&str]) -> BTreeSet<String> {
    let script = r#"
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
set -e
[[ $(complete -p mdca-lake) =~ -F\ ([^ ]+) ]]
"${BASH_REMATCH[1]}" mdca-lake "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"#;
    let output = Command::new("bash")
        .args(["--norc", "-c", script, "bash"])
        .arg(folder("completions").join("mdca-lake.bash"))
        .args(words)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(str::to_owned).collect()
}

#[test]
fn bash_offers_commands_flags_and_the_values_of_a_choice() {
    if Command::new("bash").arg("--version").output().is_err() {
        println!("no bash: its completions are not tried");
        return;
    }
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    assert_eq!(
        offered(&["mdca-lake", "co"]),
        words(&["compact", "connect", "convert"])
    );
    let clocks: BTreeSet<String> = words(&["created", "date"]);
    assert_eq!(offered(&["mdca-lake", "scan", "--by", ""]), clocks);
    let flags = offered(&["mdca-lake", "compact", "--m"]);
    for flag in ["--max-file-bytes", "--memory-limit", "--metrics-file"] {
        assert!(flags.contains(flag), "{flags:?}");
    }
}

/// What the exit codes mean, in short: `docs/exit-codes.md`.
const EXIT_STATUS: &str = r#".SH "EXIT STATUS"
.TP
0
Done, also where there was nothing to do.
.TP
1
A bug, or a limit of the system.
.TP
2
A flag, a variable, a file or the lake cannot be used.
.TP
3
The service or its authority refuses the credentials.
.TP
4
The service failed, or did not give all of a slice.
.TP
5
Data: rejects that are refused, a broken input, a lost commit, damage, a lake that is behind.
.TP
6
The lake's store: credentials, rights, space, a disk that fails.
.TP
130
A signal.
"#;

/// The page of a command.
fn page(command: &clap::Command, name: &str) -> (String, Vec<u8>) {
    let mut page = Vec::new();
    let command = command.clone().version(env!("CARGO_PKG_VERSION"));
    let man = clap_mangen::Man::new(command.display_name(name));
    man.title(name).render(&mut page).unwrap();
    page.extend_from_slice(EXIT_STATUS.as_bytes());
    (format!("{name}.1"), page)
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let mut all = command_line().disable_help_subcommand(true);
    all.build();
    let mut pages = vec![page(&all, "mdca-lake")];
    let commands = all.get_subcommands();
    pages.extend(commands.map(|each| page(each, &format!("mdca-lake-{}", each.get_name()))));
    expect_files("man", &pages);
    let files: Vec<PathBuf> = pages
        .iter()
        .map(|(name, _)| folder("man").join(name))
        .collect();
    let checks = ["-man", "-Tutf8", "-ww", "-z", "-Kutf8"];
    assert_eq!(said_by("groff", &checks, &files).unwrap_or_default(), "");
    // The first page names the others.
    let first = String::from_utf8(pages.remove(0).1).unwrap();
    for (name, _) in pages {
        let name = name.trim_end_matches(".1").replace('-', "\\-");
        assert!(first.contains(&format!("{name}(1)")), "{name}: {first}");
    }
}
