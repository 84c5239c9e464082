use futures::StreamExt as _;
use serde_json::json;

use super::*;
use crate::api::LogOptions;

fn pod() -> Pod {
    serde_json::from_value(json!({"metadata": {"namespace": "n", "name": "p", "uid": "u"}}))
        .unwrap()
}

async fn text(log: &Arc<Log>, options: LogOptions) -> String {
    let stream = Reader::open(Arc::clone(log), options)
        .unwrap()
        .into_stream();
    let chunks: Vec<_> = stream.map(Result::unwrap).collect().await;
    String::from_utf8(chunks.concat()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_log_is_read_back_with_its_filters() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
    let logs = Logs::new(dir.path(), clock);
    let log = logs.start(&pod(), "c", 0).unwrap();
    log.pump(&b"one\ntwo\n"[..], "stdout").await;
    tokio::time::advance(std::time::Duration::from_secs(10)).await;
    log.pump(&b"three\nrest"[..], "stderr").await;
    let none = LogOptions::default;
    let table = [
        (none(), "one\ntwo\nthree\nrest"),
        (
            LogOptions {
                tail_lines: Some(2),
                ..none()
            },
            "three\nrest",
        ),
        (
            LogOptions {
                tail_lines: Some(0),
                ..none()
            },
            "",
        ),
        (
            LogOptions {
                since_seconds: Some(5),
                ..none()
            },
            "three\nrest",
        ),
        (
            LogOptions {
                limit_bytes: Some(6),
                ..none()
            },
            "one\ntw",
        ),
        (
            LogOptions {
                tail_lines: Some(2),
                timestamps: true,
                ..none()
            },
            "1970-01-01T00:00:10.000000000Z three\n1970-01-01T00:00:10.000000000Z rest",
        ),
    ];
    for (options, expected) in table {
        assert_eq!(text(&log, options.clone()).await, expected, "{options:?}");
    }
}

#[tokio::test]
async fn a_follower_reads_on_over_a_rotation_until_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::create(dir.path().join("0.log"), Clock::system(), 100).unwrap();
    let log = Arc::new(log);
    log.pump(&b"first\n"[..], "stdout").await;
    let options = LogOptions {
        follow: true,
        ..LogOptions::default()
    };
    let stream = Reader::open(Arc::clone(&log), options)
        .unwrap()
        .into_stream();
    let mut stream = std::pin::pin!(stream);
    let mut read = Vec::new();
    read.extend(stream.next().await.unwrap().unwrap());
    for line in ["second\n", "third\n", "fourth\n"] {
        log.pump(line.as_bytes(), "stdout").await;
        read.extend(stream.next().await.unwrap().unwrap());
    }
    log.end();
    assert!(stream.next().await.is_none());
    assert_eq!(
        String::from_utf8(read).unwrap(),
        "first\nsecond\nthird\nfourth\n"
    );
    assert!(log.progress.borrow().rotations > 0);
    assert!(fs::metadata(&log.path).unwrap().len() <= 100);
}

#[tokio::test]
async fn the_run_before_is_kept_and_the_one_before_that_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::new(dir.path(), Clock::system());
    for attempt in 0..3 {
        let log = logs.start(&pod(), "c", attempt).unwrap();
        log.pump(format!("run {attempt}\n").as_bytes(), "stdout")
            .await;
    }
    let find = |previous| logs.find(("n", "p"), "c", previous).unwrap();
    assert_eq!(text(&find(false), LogOptions::default()).await, "run 2\n");
    assert_eq!(text(&find(true), LogOptions::default()).await, "run 1\n");
    let files = fs::read_dir(dir.path().join("n_p_u/c")).unwrap().count();
    assert_eq!(files, 2);
    logs.forget(&pod());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    assert!(logs.containers("n", "p").is_empty());
}
