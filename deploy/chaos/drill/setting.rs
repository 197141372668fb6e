//! What every process of a drill is given: a made-up company's reference data, topics, and a configuration.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use falsefront::generate::{Company, Params};
use falsefront::service::config::{self, Config};
use falsefront::service::demo_geoip::demo_databases;
use falsefront::service::kafka::Connection;
use falsefront::service::kafka::admin::Admin;
use falsefront::service::supervisor::{ServiceSettings, Stages};
use falsefront::service::topics::{self, WantedTopic};
use falsefront::service::{reference, settings};

/// Partitions of `observations`, `links` and `alerts`.
pub(crate) const PARTITIONS: u32 = 4;
/// Partitions of the source.
pub(crate) const SOURCE_PARTITIONS: u32 = 3;
/// Longest a question to the cluster may take.
const ASK: Duration = Duration::from_secs(30);

/// The made-up company: small, and with many attacks, so that alerts are never far.
#[must_use]
pub(crate) fn company(seed: u64) -> Company {
    let params = Params {
        accounts: 600,
        days: 365,
        attacks: Some(200),
        ..Params::default()
    };
    Company::new(seed, params)
}

/// What a drill runs on.
pub(crate) struct Setting {
    /// The text of one process's configuration, `{instance}` standing for its name.
    template: String,
    /// As the processes see it.
    pub(crate) service: ServiceSettings,
    /// The same core that they run.
    pub(crate) stages: Stages,
    /// The topic that is fed.
    pub(crate) source: String,
}

impl Setting {
    /// Writes the company's files to `folder` and creates the topics.
    ///
    /// # Errors
    /// If a file cannot be written or the cluster refuses.
    pub(crate) fn prepare(
        folder: &Path,
        brokers: &str,
        application: &str,
        seed: u64,
        more: &str,
    ) -> anyhow::Result<Self> {
        let company = company(seed);
        let home = folder.join("reference");
        std::fs::create_dir(&home)?;
        let write = |name: &str, bytes: &[u8]| std::fs::write(home.join(name), bytes);
        write("roster.csv", company.roster_csv().as_bytes())?;
        write("travel.csv", company.travel_csv().as_bytes())?;
        write("networks.csv", company.networks_csv().as_bytes())?;
        for (name, bytes) in demo_databases()? {
            write(&name, &bytes)?;
        }
        let source = format!("{application}.events");
        let home = home.display();
        let template = format!(
            "application = '{application}'\ninstance = '{{instance}}'\nstart_from = 'earliest'\n{more}\n\
             kafka.brokers = '{brokers}'\nhttp.listen = ''\nintake.partitions = {PARTITIONS}\n\
             geoip.files = ['{home}']\nnetworks.file = '{home}/networks.csv'\nroster.file = '{home}/roster.csv'\n\
             roster.travel_file = '{home}/travel.csv'\n[[sources]]\ntopic = '{source}'\nformat = 'ocsf'\n"
        );
        let config = load(folder, &template)?;
        let service = settings::service(&config)?;
        create_topics(&service, &source)?;
        let (reference, problems) = reference::load(&settings::reference_files(&config))?;
        ensure!(problems.is_empty(), "the company's own data has problems: {problems:?}");
        let reference = Arc::new(reference);
        let stages = Stages::real(
            config.intake.clone(),
            config.detections.clone(),
            service.hash_key,
            Arc::new(move || Arc::clone(&reference)),
        );
        Ok(Self {
            template,
            service,
            stages,
            source,
        })
    }

    /// How to reach the brokers.
    #[must_use]
    pub(crate) fn connection(&self) -> &Connection {
        &self.service.connection
    }

    /// The configuration of one process.
    #[must_use]
    pub(crate) fn config_of(&self, instance: &str) -> String {
        self.template.replace("{instance}", instance)
    }
}

fn load(folder: &Path, template: &str) -> anyhow::Result<Config> {
    let file = folder.join("drill.toml");
    std::fs::write(&file, template.replace("{instance}", "drill"))?;
    config::load(&[file], std::iter::empty(), &[]).context("the drill's own configuration is wrong")
}

fn create_topics(service: &ServiceSettings, source: &str) -> anyhow::Result<()> {
    let admin = Admin::new(&service.connection)?;
    let plan = topics::plan(&admin, &service.topics, ASK)?;
    ensure!(plan.refusals.is_empty(), "{:?}", plan.refusals);
    topics::apply(&admin, &plan, ASK)?;
    let replication = plan.create.iter().map(|topic| topic.replication).max().unwrap_or(1);
    let source = WantedTopic {
        name: source.into(),
        partitions: SOURCE_PARTITIONS,
        replication,
        // The company lives in the past, and nothing of it may expire.
        settings: std::collections::BTreeMap::from([("retention.ms", "-1".to_owned())]),
    };
    Ok(admin.create(&[source], ASK)?)
}
