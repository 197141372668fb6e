//! Feeds the source at a stated rate, and notes what intake must make of each record.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use falsefront::intake::Format;
use falsefront::model::key::HashKey;
use falsefront::pipeline::intake::RawRecord;
use falsefront::pipeline::unpacked::Unpacked;
use falsefront::service::kafka::io::Writer;
use falsefront::service::worker::stage::Take;
use falsefront::window::intern::Interner;

use super::ledger::{self, Shared};
use super::setting::{PARTITIONS, SOURCE_PARTITIONS, Setting, company};

/// A record in so many is broken on purpose.
const POISON_EVERY: u64 = 500;
/// The feeder sends what has become due in so long, and waits until it has arrived: librdkafka's threads spin while they
/// have more to send than may be in flight, which takes the processors from the processes under test.
const TICK: Duration = Duration::from_millis(10);
/// Longest records may take to arrive.
const FLUSH: Duration = Duration::from_secs(120);

/// A thread that feeds until it is told to stop.
pub(crate) struct Feeder {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Feeder {
    /// Feeds `rate` records a second of the company of `seed`, without the first `skip`.
    pub(crate) fn start(setting: &Setting, seed: u64, skip: usize, rate: u32, ledger: &Shared) -> anyhow::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut feed = Feed {
            writer: Writer::new(setting.connection())?,
            take: (setting.stages.intake)(PARTITIONS),
            source: setting.source.clone(),
            rate,
            ledger: Arc::clone(ledger),
            is_over: Arc::clone(&is_over),
        };
        let thread = std::thread::Builder::new().name("feed".to_owned());
        let ledger = Arc::clone(ledger);
        let thread = thread.spawn(move || ledger::watched(&ledger, "feeder", || feed.run(seed, skip)))?;
        Ok(Self { is_over, thread })
    }

    /// Stops, and waits until everything sent has arrived.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the feeder panicked"))?
    }
}

struct Feed {
    writer: Writer,
    take: Box<dyn Take>,
    source: String,
    rate: u32,
    ledger: Shared,
    is_over: Arc<AtomicBool>,
}

impl Feed {
    fn run(&mut self, seed: u64, skip: usize) -> anyhow::Result<()> {
        let began = Instant::now();
        for (record, number) in company(seed).skip(skip).zip(0u32..) {
            let due = began + Duration::from_secs(1) * number / self.rate.max(1);
            if due > Instant::now() {
                self.writer.flush(FLUSH).context("the source takes nothing")?;
                std::thread::sleep(due.saturating_duration_since(Instant::now()) + TICK);
            }
            if self.is_over.load(Ordering::Relaxed) {
                break;
            }
            let partition = i32::try_from(number % SOURCE_PARTITIONS)?;
            self.send(partition, record.due_ms, &record.line)?;
            if u64::from(number).is_multiple_of(POISON_EVERY) {
                self.send(partition, record.due_ms, &record.line[..record.line.len() / 2])?;
            }
        }
        self.writer.flush(FLUSH).context("not everything sent has arrived")
    }

    fn send(&mut self, partition: i32, due_ms: i64, line: &[u8]) -> anyhow::Result<()> {
        let raw = RawRecord {
            topic: &self.source,
            partition,
            offset: 0,
            append_ms: due_ms,
            value: Some(line),
        };
        self.take.records(Format::Ocsf, &[raw]);
        let letters = self.take.take_dead_letters().len();
        let outputs = self.take.flush();
        let mut interner = Interner::default();
        {
            let mut ledger = ledger::open(&self.ledger);
            ledger.records += 1;
            ledger.rejects += (letters + outputs.dead_letters.len()) as u64;
            for packed in &outputs.observations {
                for id in ids(&packed.value, &mut interner)? {
                    ledger.send(&id, partition);
                }
            }
        }
        Ok(self
            .writer
            .send_at(&self.source, Some(partition), None, line, Some(due_ms))?)
    }
}

/// Ids of the observations in a record.
pub(crate) fn ids(record: &[u8], interner: &mut Interner) -> anyhow::Result<Vec<String>> {
    // Ids stand for themselves, under any hash key.
    let unpacked = Unpacked::read(record, HashKey([0; 16]), interner)?;
    let ids = (0..unpacked.len()).map(|index| unpacked.observation(index).event.id.to_string());
    Ok(ids.collect())
}
