//! What is given to schedulers: it is valid, and its shares are all of the inputs.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::{PROGRAM, gap};

/// A Python with a reader of YAML; `None`, loudly, where there is none.
fn python(script: &str, file: &str) -> Option<Value> {
    let Some(python) = std::env::var_os("MDCA_TEST_SERVERS_PYTHON") else {
        gap("MDCA_TEST_SERVERS_PYTHON is not set: deploy/ is not read");
        return None;
    };
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
    let rule = &spec["podFailurePolicy"]["rules"][0];
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
