//! `falsefront run`: from a configuration to a service that works until it is told to stop.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::config::Config;
use super::kafka::Connection;
use super::kafka::admin::{Admin, AdminError};
use super::metrics::Metrics;
use super::outage::Outage;
use super::reference_watch::{Failed, Polled, ReferenceWatch};
use super::roster_topic::RosterTopic;
use super::supervisor::{Service, ServiceSettings, Stages};
use super::topics::Plan;
use super::{http, settings, topics};

/// Longest a question to the cluster may take.
const ASK: Duration = Duration::from_secs(10);
/// Between two looks at the reference files.
const REFERENCE_POLL: Duration = Duration::from_secs(30);
/// Between two looks at a file that is being written.
const REFERENCE_SETTLE: Duration = Duration::from_secs(2);
/// Exit code of a second signal, as shells report an interrupt.
const INTERRUPTED: i32 = 130;

/// Why `run` ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The operator must change something: exit code 2.
    #[error("{0}")]
    Configuration(String),
    /// Something failed on the way: exit code 3.
    #[error("{0}")]
    Runtime(String),
}

fn configuration(error: impl std::fmt::Display) -> RunError {
    RunError::Configuration(error.to_string())
}

fn runtime(error: impl std::fmt::Display) -> RunError {
    RunError::Runtime(error.to_string())
}

/// Runs the service until SIGTERM or SIGINT; a second signal ends the process at once.
///
/// # Errors
/// [`RunError`] by what the operator must do.
pub fn run(config: &Config) -> Result<(), RunError> {
    let service = settings::service(config).map_err(configuration)?;
    if let Some(why) = service.refused_by_librdkafka() {
        return Err(RunError::Configuration(why));
    }
    for weakness in settings::weaknesses(config) {
        tracing::warn!("{weakness}");
    }
    let (watch, problems) = ReferenceWatch::open(settings::reference_files(config)).map_err(configuration)?;
    for problem in problems {
        tracing::warn!(%problem, "line of reference data left out");
    }
    let watch = Arc::new(watch);
    let shared = watch.clone();
    let stages = Stages::real(
        config.intake.clone(),
        config.detections.clone(),
        service.hash_key,
        Arc::new(move || shared.current()),
    );
    run_stages(config, &service, &stages, Some(&watch))
}

/// [`run`] with other stages than the real ones.
///
/// # Errors
/// As [`run`].
pub fn run_stages(
    config: &Config,
    service: &ServiceSettings,
    stages: &Stages,
    watch: Option<&Arc<ReferenceWatch>>,
) -> Result<(), RunError> {
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let control = control.map_err(runtime)?;
    let outcome = control.block_on(serve(config, service, stages, watch));
    // Whoever still waits for brokers or files must not hold up the end of the process.
    control.shutdown_background();
    outcome
}

async fn serve(
    config: &Config,
    service: &ServiceSettings,
    stages: &Stages,
    watch: Option<&Arc<ReferenceWatch>>,
) -> Result<(), RunError> {
    let metrics = Metrics::new().map_err(runtime)?;
    let mut signals = Signals::new().map_err(runtime)?;
    if let Ok(listen) = config.http.listen.parse::<SocketAddr>() {
        let listener = http::bind(listen).await.map_err(|error| {
            let remedy = "choose another address, end who has it, or turn metrics and health off by \"\"";
            configuration(format!("http.listen: {listen}: {error}; {remedy}"))
        })?;
        let server = http::serve(listener, metrics.clone());
        tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%listen, %error, "no metrics any more");
            }
        });
    }
    if let Some(watch) = watch {
        report_reference(watch, &metrics);
        let (watch, metrics) = (watch.clone(), metrics.clone());
        tokio::task::spawn_blocking(move || poll_reference(&watch, &metrics));
    }
    let (config_of_topics, service_of_topics, metrics_of_topics) = (config.clone(), service.clone(), metrics.clone());
    tokio::select! {
        prepared = tokio::task::spawn_blocking(move || prepare_topics(&config_of_topics, &service_of_topics, &metrics_of_topics)) => {
            prepared.map_err(runtime)??;
        }
        () = signals.stop() => return Ok(()),
    }
    if let (Some(topic), Some(watch)) = (config.roster.topic.clone(), watch) {
        let (connection, watch) = (service.connection.clone(), watch.clone());
        tokio::select! {
            begun = tokio::task::spawn_blocking(move || begin_roster(&connection, &topic, &watch)) => {
                begun.map_err(runtime)??;
            }
            () = signals.stop() => return Ok(()),
        }
    }
    let running = Service::start(service, stages, &metrics).map_err(runtime)?;
    let outcome = supervise(&running, &mut signals, watch, &metrics).await;
    tracing::info!("stopping: committing and leaving the groups");
    let limit = Duration::from_secs(config.stop_limit_s);
    let failures = tokio::select! {
        failures = tokio::task::spawn_blocking(move || running.stop(limit)) => failures.map_err(runtime)?,
        () = signals.stop() => std::process::exit(INTERRUPTED),
    };
    outcome?;
    let failure = failures.into_iter().next();
    failure.map_or(Ok(()), |(worker, failure)| {
        Err(RunError::Runtime(format!("{worker}: {failure}")))
    })
}

/// Reads the roster's topic to its end, then follows it on a thread of its own.
fn begin_roster(connection: &Connection, topic: &str, watch: &Arc<ReferenceWatch>) -> Result<(), RunError> {
    let mut roster = RosterTopic::open(connection, topic).map_err(runtime)?;
    roster.catch_up(watch).map_err(runtime)?;
    let watch = watch.clone();
    let follow = move || roster.follow(&watch);
    std::thread::Builder::new()
        .name("roster".to_owned())
        .spawn(follow)
        .map_err(runtime)?;
    Ok(())
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for a signal or the failure of a worker.
async fn supervise(
    running: &Service,
    signals: &mut Signals,
    watch: Option<&Arc<ReferenceWatch>>,
    metrics: &Metrics,
) -> Result<(), RunError> {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return Ok(()),
            _ = signals.interrupt.recv() => return Ok(()),
            _ = signals.hangup.recv() => if let Some(watch) = watch {
                let (watch, metrics) = (watch.clone(), metrics.clone());
                let _ = tokio::task::spawn_blocking(move || take_reload(&watch, &watch.reload(), &metrics)).await;
            },
            () = tokio::time::sleep(Duration::from_millis(100)) => {
                if let Some((worker, Err(failure))) = running.watch(Duration::ZERO) {
                    tracing::error!(worker, %failure, "worker ended");
                    return Err(RunError::Runtime(format!("{worker}: {failure}")));
                }
            }
        }
    }
}

/// Creates what is missing and refuses what is unsafe; waits for brokers that do not answer.
fn prepare_topics(config: &Config, service: &ServiceSettings, metrics: &Metrics) -> Result<(), RunError> {
    let admin = Admin::new(&service.connection).map_err(configuration)?;
    let plan = plan_once_they_answer(&admin, service)?;
    for warning in &plan.warnings {
        tracing::warn!("{warning}");
    }
    if !plan.refusals.is_empty() && !config.topics.allow_unsafe {
        let refusals = plan.refusals.join("\n");
        return Err(RunError::Configuration(format!(
            "{refusals}\nor set topics.allow_unsafe = true"
        )));
    }
    if !plan.create.is_empty() {
        let names: Vec<&str> = plan.create.iter().map(|topic| &*topic.name).collect();
        if !config.topics.create {
            let names = names.join(", ");
            return Err(RunError::Configuration(format!(
                "missing topics: {names}; run `falsefront topics apply`"
            )));
        }
        tracing::info!(topics = ?names, "creating topics");
        topics::apply(&admin, &plan, ASK * 3).map_err(configuration)?;
    }
    let sources: Vec<&str> = service.sources.iter().map(|source| source.topic.as_str()).collect();
    let found = admin.partition_counts(&sources, ASK).map_err(runtime)?;
    for source in sources.iter().filter(|source| !found.contains_key(**source)) {
        tracing::warn!(
            topic = source,
            "source topic does not exist yet; it is read as soon as it does"
        );
    }
    if let Some(refusal) = keyed_source_refusal(config, &found) {
        return Err(RunError::Configuration(refusal));
    }
    note_retention(&admin, service, metrics);
    Ok(())
}

fn plan_once_they_answer(admin: &Admin, service: &ServiceSettings) -> Result<Plan, RunError> {
    let (began, mut outage) = (Instant::now(), Outage::default());
    loop {
        match topics::plan(admin, &service.topics, ASK) {
            Ok(plan) => {
                if let Some(long) = outage.is_over(began.elapsed()) {
                    tracing::warn!(seconds = long.as_secs(), "the brokers answer");
                }
                return Ok(plan);
            }
            Err(error @ AdminError::Unreachable { .. }) => {
                if let Some(long) = outage.goes_on(Duration::ZERO, began.elapsed()) {
                    tracing::warn!(%error, seconds = long.as_secs(), "waiting for the brokers");
                }
            }
            Err(error) => return Err(configuration(error)),
        }
    }
}

/// Why accounts cannot be folded from the source itself, whose partitions were `found`.
pub(super) fn keyed_source_refusal(config: &Config, found: &BTreeMap<String, usize>) -> Option<String> {
    let wanted = usize::try_from(config.intake.partitions).unwrap_or(0);
    let count = |topic: &str| found.get(topic).copied().unwrap_or(0);
    let sources = config.sources.iter().filter(|_| !config.rekey);
    let topic = sources
        .map(|source| &source.topic)
        .find(|topic| count(topic) != wanted)?;
    Some(format!(
        "rekey = false: {topic} has {} partitions and intake.partitions is {wanted}; make them equal before the first \
         start, or remove `rekey`",
        count(topic)
    ))
}

/// Lets the metrics say how long until records that were not read are deleted. Without the right to ask they do not.
fn note_retention(admin: &Admin, service: &ServiceSettings, metrics: &Metrics) {
    let sources = service.sources.iter().map(|source| source.topic.as_str());
    let topics: Vec<&str> = sources
        .chain([&*service.topics.observations, &*service.topics.links])
        .collect();
    match admin.describe(&topics, ASK) {
        Ok(found) => {
            for (topic, is) in found {
                if let Some(why) = is.unknown {
                    tracing::warn!(
                        topic,
                        why,
                        "no falsefront_seconds_to_data_loss: the topic's retention is unknown"
                    );
                    continue;
                }
                let retention_ms = is.settings.get("retention.ms").and_then(|text| text.parse().ok());
                metrics.set_retention(&topic, retention_ms.unwrap_or(-1));
            }
        }
        Err(error) => tracing::warn!(%error, "no falsefront_seconds_to_data_loss: the topics' retention is unknown"),
    }
}

fn poll_reference(watch: &ReferenceWatch, metrics: &Metrics) {
    let mut pause = REFERENCE_POLL;
    loop {
        std::thread::sleep(pause);
        let polled = watch.poll();
        pause = if matches!(polled, Polled::Settling) {
            REFERENCE_SETTLE
        } else {
            REFERENCE_POLL
        };
        take_reload(watch, &polled, metrics);
        // A roster from a topic changes without a reload.
        metrics.set_reference_records(&watch.current().summary().datasets);
    }
}

fn take_reload(watch: &ReferenceWatch, polled: &Polled, metrics: &Metrics) {
    match polled {
        Polled::Unchanged | Polled::Settling => {}
        Polled::Mended => {
            tracing::info!("the files of the reference data in use are there again");
            metrics.set_reference_ok(true);
        }
        Polled::Reloaded(problems, failed) => {
            for problem in problems {
                tracing::warn!(%problem, "line of reference data left out");
            }
            report_reference(watch, metrics);
            report_failed(watch, failed, metrics);
        }
        Polled::Failed(failed) => report_failed(watch, failed, metrics),
    }
}

fn report_failed(watch: &ReferenceWatch, failed: &[Failed], metrics: &Metrics) {
    for Failed { kind, error } in failed {
        let (kind, file) = (kind.as_str(), &error.problem().file);
        tracing::error!(kind, file, %error, "reference data not reloaded, the older of this kind stays in use");
    }
    let status = watch.status();
    metrics.set_reference_ok(status.errors.is_empty());
    for (kind, failures) in status.failures {
        metrics.set_reload_failures(kind, failures);
    }
}

fn report_reference(watch: &ReferenceWatch, metrics: &Metrics) {
    let summary = watch.current().summary();
    metrics.set_reference_ok(true);
    metrics.set_reference_records(&summary.datasets);
    for dataset in &summary.datasets {
        tracing::info!(
            kind = dataset.kind.as_str(),
            file = dataset.file,
            version = dataset.version,
            "reference data in use"
        );
        if let Some(built_s) = dataset.built_seconds {
            #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit 53 bits")]
            metrics.set_reference_built(dataset.kind.as_str(), built_s as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_another_has_ends_the_start_as_a_mistake_does() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = Config::default();
        config.kafka.brokers = "127.0.0.1:1".to_owned();
        config.http.listen = other.local_addr().unwrap().to_string();
        let Err(RunError::Configuration(told)) = run(&config) else {
            panic!("it went on")
        };
        assert!(
            told.starts_with(&format!("http.listen: {}: ", config.http.listen)),
            "{told}"
        );
    }
}
