//! What is given to schedulers: it is valid, and its shares are all of the inputs.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::{PROGRAM, Place, gap};
use crate::support::readers;

/// A Python with a reader of YAML; `None`, loudly, where there is none.
fn python(script: &str, file: &str) -> Option<Value> {
    let python = readers::python();
    if !python.exists() {
        gap("no Python of the tests: deploy/ is not read");
        return None;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let output = Command::new(python)
        .args(["-c", script])
        .arg(file)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// A folder with some files to convert.
fn saved() -> TempDir {
    let room = tempfile::tempdir().unwrap();
    fs::create_dir(room.path().join("saved")).unwrap();
    for n in 0..20 {
        fs::write(room.path().join(format!("saved/{n}.json")), "[]").unwrap();
    }
    room
}

fn planned(command: &mut Command) -> u64 {
    let output = command.arg("--dry-run").output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["slices"]["planned"].as_u64().unwrap()
}

#[test]
fn the_kubernetes_job_gives_each_pod_its_share() {
    let script = "import json, sys, yaml\njson.dump(list(yaml.safe_load_all(open(sys.argv[1]))), sys.stdout)";
    let Some(read) = python(script, "deploy/kubernetes/convert-job.yaml") else {
        return;
    };
    let job = &read[0];
    assert_eq!(
        (&job["apiVersion"], &job["kind"]),
        (&"batch/v1".into(), &"Job".into())
    );
    let spec = &job["spec"];
    assert_eq!(spec["completionMode"], "Indexed");
    // Without these two the rule on exit codes is refused.
    assert!(spec["backoffLimitPerIndex"].is_u64());
    assert_eq!(spec["template"]["spec"]["restartPolicy"], "Never");
    let container = &spec["template"]["spec"]["containers"][0];
    // The first rule that fits counts: a pod that was evicted ends with a code, too.
    let rules = &spec["podFailurePolicy"]["rules"];
    let evicted = serde_json::json!([{"type": "DisruptionTarget"}]);
    assert_eq!(rules[0]["onPodConditions"], evicted);
    let rule = &rules[1];
    assert_eq!(rule["onExitCodes"]["containerName"], container["name"]);
    let room = saved();
    let pods = spec["completions"].as_u64().unwrap();
    let mut all = 0;
    for index in 0..pods {
        let mut command = Command::new(PROGRAM);
        command.current_dir(room.path());
        for arg in container["args"].as_array().unwrap() {
            let arg = arg.as_str().unwrap();
            let arg = arg.replace("s3://my-bucket/", "./");
            command.arg(arg.replace("$(JOB_COMPLETION_INDEX)", &index.to_string()));
        }
        all += planned(&mut command);
    }
    assert_eq!(all, 20);
}

#[test]
fn the_airflow_task_is_mapped_over_all_shares() {
    // Stands in for Airflow, and says what the task was mapped over.
    let script = r#"
import json, sys, types
class Task:
    def __init__(self, **given): self.given = given
    def expand(self, **mapped): json.dump({**self.given, **mapped}, sys.stdout)
class Operator:
    partial = Task
class Dag:
    def __init__(self, **given): assert given["catchup"] is False
    def __enter__(self): return self
    def __exit__(self, *error): pass
for name in ("airflow", "airflow.sdk", "airflow.providers", "airflow.providers.standard",
             "airflow.providers.standard.operators", "airflow.providers.standard.operators.bash"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["airflow.sdk"].DAG = Dag
sys.modules["airflow.providers.standard.operators.bash"].BashOperator = Operator
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"))
"#;
    let Some(task) = python(script, "deploy/airflow/convert_dag.py") else {
        return;
    };
    let room = saved();
    let line = task["bash_command"].as_str().unwrap();
    let line = line.replace("exec mdca-lake", &format!("exec {PROGRAM}"));
    let mut all = 0;
    for env in task["env"].as_array().unwrap() {
        let mut command = Command::new("bash");
        command
            .current_dir(room.path())
            .args(["-c", &format!("{line} \"$@\""), "bash"]);
        for (name, value) in env.as_object().unwrap() {
            command.env(
                name,
                value.as_str().unwrap().replace("s3://my-bucket/", "./"),
            );
        }
        all += planned(&mut command);
    }
    assert_eq!(all, 20);
}

/// A file of the repository.
fn text(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

const YAML: &str = "import json, sys, yaml\njson.dump(list(yaml.safe_load_all(open(sys.argv[1]))), sys.stdout, default=str)";

/// The plan of a scan with these variables and arguments; its lake is in a folder instead.
fn expect_plan(command: &mut Command) {
    let room = tempfile::tempdir().unwrap();
    let output = command
        .arg("--dry-run")
        .current_dir(room.path())
        .env("MDCA_LAKE", room.path().join("lake"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["status"], "planned");
    // Of the last day, hour by hour.
    assert_eq!(
        report["slices"]["planned"].as_u64().unwrap() / 10,
        2,
        "{report}"
    );
}

/// The steps of the Containerfile: those of the build, and those of the image.
fn image_steps() -> (Vec<[String; 2]>, Vec<[String; 2]>) {
    let joined = text("deploy/Containerfile").replace("\\\n", " ");
    let lines = joined.lines();
    let lines = lines.filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut build: Vec<[String; 2]> = lines
        .map(|line| line.split_once(' ').unwrap())
        .map(|(step, what)| [step.to_owned(), what.to_owned()])
        .collect();
    let last = build.iter().rposition(|[step, _]| step == "FROM").unwrap();
    let image = build.split_off(last);
    (build, image)
}

#[test]
fn the_image_holds_the_program_alone_and_no_rights() {
    let (build, image) = image_steps();
    let known = ["FROM", "ARG", "WORKDIR", "COPY", "RUN"];
    let is_known = |[step, _]: &[String; 2]| known.contains(&step.as_str());
    assert!(build.iter().all(is_known), "{build:?}");
    let [_, cargo] = build.iter().find(|[step, _]| step == "RUN").unwrap();
    for flag in ["--locked", "--no-default-features", "--release"] {
        assert!(cargo.contains(flag), "{cargo}");
    }
    // Nothing is run in the image, which has no shell.
    let own: Vec<&str> = image.iter().map(|[step, _]| step.as_str()).collect();
    assert_eq!(own, ["FROM", "COPY", "USER", "ENTRYPOINT"]);
    let [base, copy, user, entry] = [0, 1, 2, 3].map(|step| image[step][1].as_str());
    assert!(base.contains("distroless") && base.ends_with(":nonroot"));
    assert_eq!(user, "65532:65532");
    let entry: Vec<String> = serde_json::from_str(entry).unwrap();
    assert!(copy.ends_with(&entry[0]), "{image:?}");
    // The compiler is one that the sources take.
    let wanted = text("Cargo.toml");
    let (_, wanted) = wanted.split_once("rust-version = \"").unwrap();
    let wanted = wanted.split('"').next().unwrap();
    assert!(
        build[0][1].contains(&format!("rust:{wanted}-")),
        "{build:?}"
    );
    assert!(text(".dockerignore").lines().any(|line| line == "target"));
}

/// What a builder makes of the steps, made by hand: the program at its place, the C library and the
/// certificates, and nothing else; a root that cannot be written to, and a user without rights.
#[test]
fn the_program_scans_where_there_is_no_more_than_the_image_has() {
    let unshare = || {
        let mut command = Command::new("unshare");
        command.arg("--mount");
        command
    };
    if !unshare()
        .arg("true")
        .status()
        .is_ok_and(|ended| ended.success())
    {
        gap("no right to mount: the program is not run as the image runs it");
        return;
    }
    let (_, image) = image_steps();
    let [user, entry] = [2, 3].map(|step| image[step][1].as_str());
    let [entry]: [String; 1] = serde_json::from_str(entry).unwrap();
    let place = Place::small();
    let lake = place.lake();
    let as_image = || {
        let mut command = unshare();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/as-image");
        command.arg(script).arg(place.room()).args([user, &entry]);
        command
    };
    let ended = place.run(&mut lake.scan_through(as_image()));
    assert_eq!(ended.code(), Some(0), "{ended}");
    lake.expect_exact("as the image");
}

#[test]
fn the_kubernetes_cron_job_scans_without_a_secret_and_never_twice_at_once() {
    let Some(read) = python(YAML, "deploy/kubernetes/scan-cronjob.yaml") else {
        return;
    };
    let (account, job) = (&read[0], &read[1]);
    assert_eq!(account["kind"], "ServiceAccount");
    assert_eq!(
        (&job["apiVersion"], &job["kind"]),
        (&"batch/v1".into(), &"CronJob".into())
    );
    let spec = &job["spec"];
    assert_eq!(spec["concurrencyPolicy"], "Forbid");
    let schedule: Vec<&str> = spec["schedule"].as_str().unwrap().split(' ').collect();
    assert_eq!((schedule.len(), &schedule[1..]), (5, &["*"; 4][..]));
    let template = &spec["jobTemplate"]["spec"]["template"];
    assert_eq!(
        template["metadata"]["labels"]["azure.workload.identity/use"],
        "true"
    );
    let pod = &template["spec"];
    assert_eq!(pod["serviceAccountName"], account["metadata"]["name"]);
    assert_eq!(pod["restartPolicy"], "Never");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    // A signal stops a run within ten seconds.
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > 10);
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(
        container["securityContext"]["capabilities"]["drop"][0],
        "ALL"
    );
    let mut scan = Command::new(PROGRAM);
    scan.args(
        container["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|arg| arg.as_str().unwrap()),
    );
    for variable in container["env"].as_array().unwrap() {
        scan.env(
            variable["name"].as_str().unwrap(),
            variable["value"].as_str().unwrap(),
        );
    }
    expect_plan(&mut scan);
}

#[test]
fn the_kubernetes_cron_job_that_compacts_is_the_scans_with_room_to_read_back() {
    let (Some(scan), Some(compact)) = (
        python(YAML, "deploy/kubernetes/scan-cronjob.yaml"),
        python(YAML, "deploy/kubernetes/compact-cronjob.yaml"),
    ) else {
        return;
    };
    let pod = |job: &Value| job["spec"]["jobTemplate"]["spec"]["template"]["spec"].clone();
    let (scan, compact) = (pod(&scan[1]), pod(&compact[0]));
    assert_eq!(compact["serviceAccountName"], scan["serviceAccountName"]);
    assert_eq!(compact["securityContext"], scan["securityContext"]);
    let (scan, container) = (&scan["containers"][0], &compact["containers"][0]);
    assert_eq!(container["securityContext"], scan["securityContext"]);
    assert_eq!(container["image"], scan["image"]);
    assert_eq!(container["volumeMounts"][0]["mountPath"], "/tmp");
    assert_eq!(
        container["volumeMounts"][0]["name"],
        compact["volumes"][0]["name"]
    );
    let args = container["args"].as_array().unwrap().iter();
    let mut command = Command::new(PROGRAM);
    command.args(args.map(|arg| arg.as_str().unwrap()));
    expect_compacts(&mut command);
}

/// The flags are taken, and there is no lake yet.
fn expect_compacts(command: &mut Command) {
    let nowhere = tempfile::tempdir().unwrap().path().join("lake");
    let output = command.arg("--lake").arg(nowhere).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("nothing is there"), "{said}");
}

#[test]
fn the_units_of_systemd_are_valid_and_confined() {
    let room = tempfile::tempdir().unwrap();
    let compacts = text("deploy/systemd/mdca-lake-compact.service");
    let line = compacts
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    let mut compact = Command::new(PROGRAM);
    expect_compacts(compact.args(line.unwrap().split(' ').skip(1)));
    for name in [
        "mdca-lake.service",
        "mdca-lake.timer",
        "mdca-lake-compact.service",
        "mdca-lake-compact.timer",
    ] {
        let unit = text(&format!("deploy/systemd/{name}"));
        fs::write(
            room.path().join(name),
            unit.replace("/usr/local/bin/mdca-lake", PROGRAM),
        )
        .unwrap();
    }
    let unit = text("deploy/systemd/mdca-lake.service");
    let value = |key: &str| -> Vec<String> {
        let lines = unit
            .lines()
            .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        lines.map(str::to_owned).collect()
    };
    let mut scan = Command::new(PROGRAM);
    let line = value("ExecStart").remove(0);
    scan.args(line.split(' ').skip(1))
        .args(["--report", "json"]);
    let variables = text("deploy/systemd/mdca-lake.env");
    let variables = variables
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned);
    for variable in variables.chain(value("Environment")) {
        let (name, value) = variable.split_once('=').unwrap();
        let value = value.replace("/var/lib/mdca-lake", room.path().to_str().unwrap());
        scan.env(name, value);
    }
    expect_plan(&mut scan);
    let analyze = |args: &[&str]| {
        let mut command = Command::new("systemd-analyze");
        command.current_dir(room.path()).args(args);
        command.output()
    };
    let units = [
        "verify",
        "--man=no",
        "./mdca-lake.service",
        "./mdca-lake.timer",
        "./mdca-lake-compact.service",
        "./mdca-lake-compact.timer",
    ];
    let Ok(verified) = analyze(&units) else {
        return gap("no systemd-analyze: the units are not verified");
    };
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    // It also complains of the machine that it runs on.
    let of_ours: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("mdca-lake"))
        .collect();
    assert!(of_ours.is_empty(), "{said}");
    for unit in ["./mdca-lake.service", "./mdca-lake-compact.service"] {
        let security = analyze(&["security", "--offline=yes", "--threshold=25", unit]);
        let security = security.unwrap();
        let said = String::from_utf8_lossy(&security.stdout).into_owned();
        assert!(
            security.status.success(),
            "{said}{}",
            String::from_utf8_lossy(&security.stderr)
        );
    }
}

#[test]
fn the_airflow_dag_has_a_task_and_a_lake_for_each_tenant() {
    let script = r#"
import json, sys, types
tasks = []
class Operator:
    def __init__(self, **given): tasks.append(given)
class Dag:
    def __init__(self, **given): assert given["catchup"] is False and given["max_active_runs"] == 1
    def __enter__(self): return self
    def __exit__(self, *error): pass
for name in ("airflow", "airflow.sdk", "airflow.providers", "airflow.providers.standard",
             "airflow.providers.standard.operators", "airflow.providers.standard.operators.bash"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["airflow.sdk"].DAG = Dag
sys.modules["airflow.providers.standard.operators.bash"].BashOperator = Operator
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"))
json.dump(tasks, sys.stdout)
"#;
    let Some(tasks) = python(script, "deploy/airflow/scan_dag.py") else {
        return;
    };
    let mut lakes = std::collections::BTreeSet::new();
    for task in tasks.as_array().unwrap() {
        let line = task["bash_command"].as_str().unwrap();
        let line = line.replace("exec mdca-lake", &format!("exec {PROGRAM}"));
        let mut scan = Command::new("bash");
        scan.args(["-c", &format!("{line} \"$@\""), "bash"]);
        for (name, value) in task["env"].as_object().unwrap() {
            scan.env(name, value.as_str().unwrap());
        }
        let secret = task["env"]["MDCA_CLIENT_SECRET"].as_str().unwrap();
        assert!(secret.starts_with("{{ var.value."), "{secret}");
        assert!(lakes.insert(task["env"]["MDCA_LAKE"].to_string()));
        expect_plan(&mut scan);
    }
    assert_eq!(lakes.len(), 2);
}

#[test]
fn the_github_workflow_signs_in_by_the_token_of_its_run() {
    let Some(read) = python(YAML, "deploy/github/scan.yml") else {
        return;
    };
    let workflow = &read[0];
    assert_eq!(
        workflow["permissions"],
        serde_json::json!({"id-token": "write", "packages": "read"})
    );
    assert_eq!(workflow["concurrency"]["cancel-in-progress"], false);
    let job = &workflow["jobs"]["scan"];
    assert!(job["timeout-minutes"].as_u64().unwrap() < 60);
    let steps = job["steps"].as_array().unwrap();
    let log_in = steps[0]["run"].as_str().unwrap();
    let registry = log_in.split(' ').nth(2).unwrap();
    let image = job["env"]["IMAGE"].as_str().unwrap();
    assert!(image.starts_with(&format!("{registry}/")), "{log_in}");
    let room = tempfile::tempdir().unwrap();
    // Stand-ins: a container that is this machine, with only the variables that it is given, and the issuer, which
    // answers who shows its token. As functions: a file that was just written cannot always be run yet.
    let script = format!(
        "curl() {{ [ \"$(cat)\" = 'Authorization: bearer x' ] && echo '{{\"value\":\"a-token\"}}'; }}\n\
         jq() {{ sed 's/.*\"value\":\"\\(.*\\)\".*/\\1/'; }}\n\
         docker() (\n\
         keep=()\n\
         while [ \"$1\" != \"$IMAGE\" ]; do [ \"$1\" = --env ] && keep+=(\"$2=${{!2}}\"); shift; done\nshift\n\
         cd \"$ROOM\" && exec env -i \"${{keep[@]}}\" MDCA_DRY_RUN=1 MDCA_LAKE=\"$ROOM/lake\" {PROGRAM} \"$@\"\n\
         )\n{}",
        steps[1]["run"].as_str().unwrap()
    );
    let mut run = Command::new("bash");
    run.args(["-euo", "pipefail", "-c", &script]);
    for (name, value) in job["env"].as_object().unwrap() {
        run.env(name, value.as_str().unwrap());
    }
    run.env("RUNNER_TEMP", room.path())
        .env("ROOM", room.path())
        .env(
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            "https://issuer.example/?x=1",
        )
        .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "x");
    let output = run.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        report["api_host"],
        "contoso.eu2.portal.cloudappsecurity.com"
    );
    let token = fs::read_to_string(room.path().join("token/federated")).unwrap();
    assert_eq!(token.trim(), "a-token");
}
