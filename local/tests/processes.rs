//! The kubelet with real processes, against the API server of this crate.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{collections::BTreeMap, fs, net::Ipv4Addr, sync::Arc, time::Duration};

use futures::AsyncReadExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, ContainerStatus, Event, Pod, Secret};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, LogParams, PostParams},
};
use serde_json::{Value, json};
use sluice_local::{
    api::{ApiServer, Config as ApiConfig},
    clock::Clock,
    kubelet::{
        Config, Kubelet,
        images::ImageCommands,
        logs::Logs,
        runtime::processes::{Processes, Settings},
        supervisor::Shim,
    },
};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};
use tokio_util::sync::CancellationToken;

/// How long anything may take before a test fails.
const DEADLINE: Duration = Duration::from_secs(30);

struct Cluster {
    client: Client,
    dir: tempfile::TempDir,
    stop: CancellationToken,
    kubelet: tokio::task::JoinHandle<()>,
    _server: Arc<ApiServer>,
}

impl Cluster {
    /// Each test has a pod range of its own, because they all run on one machine.
    fn start(pod_range: &str) -> Self {
        let clock = Clock::system();
        let config = ApiConfig {
            clock,
            data_dir: None,
            seed: 1,
            history: 1000,
        };
        let server = ApiServer::new(config).unwrap();
        let client = server.client();
        let dir = tempfile::tempdir().unwrap();
        let logs = Logs::new(dir.path().join("logs"), clock);
        server.set_log_source(logs.clone());
        let mut images = ImageCommands::default();
        images
            .add("greeter=/bin/sh -c 'echo hello from the image; exec sleep 1000'")
            .unwrap();
        let path = std::env::var("PATH").unwrap();
        let settings = Settings {
            shim: Shim::of(env!("CARGO_BIN_EXE_sluice-supervise"), Vec::<String>::new()),
            images,
            caller: BTreeMap::from([("PATH".to_owned(), path)]),
            host_ip: Ipv4Addr::LOCALHOST,
        };
        let kubelet = Kubelet {
            client: client.clone(),
            clock,
            config: Config {
                pod_range: pod_range.parse().unwrap(),
                ..Config::default()
            },
            runtime: Arc::new(Processes::new(client.clone(), settings, logs)),
        };
        let stop = CancellationToken::new();
        let kubelet = tokio::spawn(kubelet.run(stop.clone()));
        Self {
            client,
            dir,
            stop,
            kubelet,
            _server: server,
        }
    }

    fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }

    async fn create(&self, name: &str, spec: Value) {
        let pod = json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": spec});
        let pod = serde_json::from_value(pod).unwrap();
        self.pods()
            .create(&PostParams::default(), &pod)
            .await
            .unwrap();
    }

    /// The pod, once `what` holds for it.
    async fn when(&self, name: &str, what: impl Fn(&Pod) -> bool) -> Pod {
        let look = async {
            loop {
                let pod = self.pods().get(name).await.unwrap();
                if what(&pod) {
                    return pod;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(DEADLINE, look)
            .await
            .expect("it never holds")
    }

    async fn gone(&self, name: &str) {
        let look = async {
            while self.pods().get_opt(name).await.unwrap().is_some() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(DEADLINE, look)
            .await
            .expect("it never goes");
    }

    async fn logs(&self, name: &str, params: LogParams) -> String {
        self.pods().logs(name, &params).await.unwrap()
    }

    async fn stop(self) -> tempfile::TempDir {
        self.stop.cancel();
        self.kubelet.await.unwrap();
        self.dir
    }
}

/// A shell that runs `script`, in which `$$` is `$`, as Kubernetes has it.
fn shell(script: &str, more: Value) -> Value {
    let mut container =
        json!({"name": "main", "image": "none", "command": ["/bin/sh", "-c", script]});
    container
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    json!({"containers": [container], "terminationGracePeriodSeconds": 1})
}

fn main_status(pod: &Pod) -> Option<ContainerStatus> {
    pod.status
        .as_ref()?
        .container_statuses
        .as_ref()?
        .first()
        .cloned()
}

fn is_ready(pod: &Pod) -> bool {
    main_status(pod).is_some_and(|status| status.ready)
}

fn phase(pod: &Pod) -> String {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.clone())
        .unwrap_or_default()
}

fn waiting_for(pod: &Pod) -> (String, String) {
    let waiting = main_status(pod)
        .and_then(|status| status.state)
        .and_then(|state| state.waiting);
    let waiting = waiting.unwrap_or_default();
    (
        waiting.reason.unwrap_or_default(),
        waiting.message.unwrap_or_default(),
    )
}

#[tokio::test]
async fn a_container_gets_its_environment_and_its_logs_are_read_back() {
    let cluster = Cluster::start("127.43.1.0/24");
    let map = json!({"metadata": {"name": "conf"}, "data": {"color": "blue"}});
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client.clone());
    maps.create(
        &PostParams::default(),
        &serde_json::from_value(map).unwrap(),
    )
    .await
    .unwrap();
    let secret = json!({"metadata": {"name": "keys"}, "stringData": {"token": "t0p"}});
    let secrets: Api<Secret> = Api::default_namespaced(cluster.client.clone());
    secrets
        .create(
            &PostParams::default(),
            &serde_json::from_value(secret).unwrap(),
        )
        .await
        .unwrap();
    let more = json!({
        "args": ["arg0", "$(NAME) on $(POD_IP)"],
        "envFrom": [{"configMapRef": {"name": "conf"}}],
        "env": [{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}}],
    });
    let script = "echo \"$1\"; echo \"$color $TOKEN\"; echo oops >&2";
    let mut spec = shell(script, more);
    spec["restartPolicy"] = json!("Never");
    cluster.create("env", spec).await;
    let pod = cluster.when("env", |pod| phase(pod) == "Succeeded").await;
    let ip = pod.status.unwrap().pod_ip.unwrap();
    let text = cluster.logs("env", LogParams::default()).await;
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "blue t0p".to_owned(),
            format!("env on {ip}"),
            "oops".to_owned()
        ]
    );
    cluster.stop().await;
}

#[tokio::test]
async fn probes_decide_about_ready_and_a_deleted_pod_ends_with_its_hook() {
    let cluster = Cluster::start("127.43.2.0/24");
    let dir = cluster.dir.path().display().to_string();
    let more = json!({
        "env": [{"name": "DIR", "value": dir}],
        "readinessProbe": {"periodSeconds": 1, "failureThreshold": 1,
            "exec": {"command": ["/bin/sh", "-c", "test -e $DIR/ready"]}},
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/sh", "-c", "touch $DIR/hooked"]}}},
    });
    let script = "trap 'touch $DIR/terminated; exit 0' TERM; while :; do sleep 0.05; done";
    cluster.create("probed", shell(script, more)).await;
    let unhealthy = async {
        let events: Api<Event> = Api::default_namespaced(cluster.client.clone());
        loop {
            let events = events.list(&ListParams::default()).await.unwrap().items;
            if events
                .iter()
                .any(|event| event.reason.as_deref() == Some("Unhealthy"))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, unhealthy)
        .await
        .expect("no event tells of the failing probe");
    assert!(!is_ready(&cluster.pods().get("probed").await.unwrap()));
    fs::write(cluster.dir.path().join("ready"), "").unwrap();
    cluster.when("probed", is_ready).await;
    cluster
        .pods()
        .delete("probed", &DeleteParams::default())
        .await
        .unwrap();
    cluster.gone("probed").await;
    for file in ["hooked", "terminated"] {
        assert!(cluster.dir.path().join(file).exists(), "{file}");
    }
    cluster.stop().await;
}

#[tokio::test]
async fn an_http_probe_goes_to_the_pods_own_address() {
    let cluster = Cluster::start("127.43.8.0/24");
    // The first address of the range; the test answers in the container's place.
    let listener = TcpListener::bind(("127.43.8.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let probe = json!({"httpGet": {"path": "/ready", "port": port}, "periodSeconds": 1});
    cluster
        .create(
            "web",
            shell("exec sleep 1000", json!({"readinessProbe": probe})),
        )
        .await;
    let (mut stream, _) = tokio::time::timeout(DEADLINE, listener.accept())
        .await
        .unwrap()
        .unwrap();
    assert!(!is_ready(&cluster.pods().get("web").await.unwrap()));
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    let pod = cluster.when("web", is_ready).await;
    assert_eq!(pod.status.unwrap().pod_ip.as_deref(), Some("127.43.8.1"));
    cluster.stop().await;
}

#[tokio::test]
async fn a_failing_liveness_probe_restarts_the_container() {
    let cluster = Cluster::start("127.43.9.0/24");
    let dir = cluster.dir.path().display().to_string();
    let more = json!({
        "env": [{"name": "DIR", "value": dir}],
        "livenessProbe": {"periodSeconds": 1, "failureThreshold": 1,
            "exec": {"command": ["/bin/sh", "-c", "test ! -e $DIR/sick"]}},
    });
    let script = "rm -f $DIR/sick; touch $DIR/begun; exec sleep 1000";
    cluster.create("alive", shell(script, more)).await;
    let begun = cluster.dir.path().join("begun");
    cluster
        .when("alive", |pod| is_ready(pod) && begun.exists())
        .await;
    fs::write(cluster.dir.path().join("sick"), "").unwrap();
    let again = |pod: &Pod| main_status(pod).is_some_and(|s| s.restart_count == 1 && s.ready);
    let pod = cluster.when("alive", again).await;
    let last = main_status(&pod)
        .unwrap()
        .last_state
        .unwrap()
        .terminated
        .unwrap();
    assert_eq!(last.exit_code, 143);
    cluster.stop().await;
}

#[tokio::test]
async fn a_container_that_dies_is_started_again_and_its_last_log_is_kept() {
    let cluster = Cluster::start("127.43.3.0/24");
    let dir = cluster.dir.path().display().to_string();
    let script = "if [ -e $DIR/been ]; then echo second; exec sleep 1000; fi; \
        touch $DIR/been; echo first; kill -KILL $$$$";
    cluster
        .create(
            "dies",
            shell(script, json!({"env": [{"name": "DIR", "value": dir}]})),
        )
        .await;
    let again = |pod: &Pod| main_status(pod).is_some_and(|s| s.restart_count == 1 && s.ready);
    let pod = cluster.when("dies", again).await;
    let last = main_status(&pod)
        .unwrap()
        .last_state
        .unwrap()
        .terminated
        .unwrap();
    assert_eq!(
        (last.exit_code, last.reason.as_deref()),
        (137, Some("Error"))
    );
    let previous = LogParams {
        previous: true,
        ..LogParams::default()
    };
    assert_eq!(cluster.logs("dies", previous).await, "first\n");
    let follow = LogParams {
        follow: true,
        ..LogParams::default()
    };
    let stream = cluster.pods().log_stream("dies", &follow).await.unwrap();
    let mut stream = std::pin::pin!(stream);
    let mut seen = [0; 7];
    stream.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"second\n");
    cluster.stop().await;
}

#[tokio::test]
async fn init_containers_come_first_and_in_order() {
    let cluster = Cluster::start("127.43.4.0/24");
    let dir = cluster.dir.path().display().to_string();
    let env = json!([{"name": "DIR", "value": dir}]);
    let init = |name: &str, script: &str| json!({"name": name, "image": "none", "command": ["/bin/sh", "-c", script], "env": env});
    let mut spec = shell("cat $DIR/order; exec sleep 1000", json!({"env": env}));
    spec["initContainers"] = json!([
        init("one", "echo one >> $DIR/order"),
        init("two", "echo two >> $DIR/order")
    ]);
    cluster.create("inits", spec).await;
    cluster.when("inits", is_ready).await;
    assert_eq!(
        fs::read_to_string(cluster.dir.path().join("order")).unwrap(),
        "one\ntwo\n"
    );
    cluster.stop().await;
}

#[tokio::test]
async fn what_cannot_run_says_why_and_an_image_can_be_given_a_command() {
    let cluster = Cluster::start("127.43.5.0/24");
    let bare = |image: &str| json!({"containers": [{"name": "main", "image": image}]});
    cluster.create("none", bare("nginx:1.27")).await;
    cluster.create("given", bare("greeter:1")).await;
    let missing = json!({"envFrom": [{"configMapRef": {"name": "nowhere"}}]});
    cluster.create("missing", shell("true", missing)).await;
    let mut mounted = shell(
        "true",
        json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}),
    );
    mounted["volumes"] = json!([{"name": "v", "configMap": {"name": "c"}}]);
    cluster.create("mounted", mounted).await;
    let table = [
        ("none", "ErrNoCommand", "--image nginx:1.27=COMMAND"),
        (
            "missing",
            "CreateContainerConfigError",
            "ConfigMap \"nowhere\" not found",
        ),
        ("mounted", "NotSupported", "spec.volumes[v] (configMap)"),
    ];
    for (name, reason, part) in table {
        let pod = cluster.when(name, |pod| waiting_for(pod).0 == reason).await;
        assert!(
            waiting_for(&pod).1.contains(part),
            "{name}: {:?}",
            waiting_for(&pod)
        );
        assert_eq!(phase(&pod), "Pending", "{name}");
    }
    cluster.when("given", is_ready).await;
    let follow = LogParams {
        follow: true,
        ..LogParams::default()
    };
    let lines = cluster.pods().log_stream("given", &follow).await.unwrap();
    let mut text = vec![0; "hello from the image\n".len()];
    std::pin::pin!(lines).read_exact(&mut text).await.unwrap();
    assert_eq!(text, b"hello from the image\n");
    cluster.stop().await;
}

#[tokio::test]
async fn a_kubelet_that_stops_leaves_no_process() {
    let cluster = Cluster::start("127.43.6.0/24");
    let dir = cluster.dir.path().display().to_string();
    let env = json!({"env": [{"name": "DIR", "value": dir}]});
    let script = "trap '' TERM; echo $$$$ > $DIR/pid; while :; do sleep 0.05; done";
    cluster.create("stays", shell(script, env)).await;
    cluster.when("stays", is_ready).await;
    let file = cluster.dir.path().join("pid");
    let pid = async {
        loop {
            match fs::read_to_string(&file) {
                Ok(pid) if pid.ends_with('\n') => return pid.trim().to_owned(),
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let pid = tokio::time::timeout(DEADLINE, pid).await.unwrap();
    let _dir = cluster.stop().await;
    assert!(
        !std::path::Path::new(&format!("/proc/{pid}")).exists(),
        "{pid} is still there"
    );
}

#[tokio::test]
async fn events_tell_the_story_of_a_pod() {
    let cluster = Cluster::start("127.43.7.0/24");
    cluster
        .create("told", shell("exec sleep 1000", json!({})))
        .await;
    cluster.when("told", is_ready).await;
    cluster
        .pods()
        .delete("told", &DeleteParams::default())
        .await
        .unwrap();
    cluster.gone("told").await;
    let events: Api<Event> = Api::default_namespaced(cluster.client.clone());
    let told = async {
        loop {
            let events = events.list(&ListParams::default()).await.unwrap().items;
            let reasons: Vec<&str> = events.iter().filter_map(|e| e.reason.as_deref()).collect();
            if ["Started", "Killing"]
                .iter()
                .all(|reason| reasons.contains(reason))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, told)
        .await
        .expect("the story is not told");
    cluster.stop().await;
}
