//! What a broker log does unasked: forgets groups that never come back, and gives disk space back.
//!
//! Messages that a group needs are copied to the end before their segment goes, with their numbers; where every group
//! is, too. So one slow group of a quiet topic does not hold the log of all others.

use mainstay_core::Result;

use super::index::Coming;
use super::log::BrokerLog;
use super::{record, unavailable};
use crate::damage::Fault;
use crate::engine::{blocking, drop_oldest, slack_bytes};
use crate::log::Place;
use crate::log::queue::Acknowledged;
use crate::log::record::{Group as Records, HEADER_BYTES, padded};

/// Messages copied in one append, at most; and their bytes.
const COPIED_AT_ONCE: usize = 1_000;
const COPY_BYTES: usize = 1024 * 1024;

impl BrokerLog {
    /// One round: forget, then trim. Errors: `BROKER_UNAVAILABLE`, `JOURNAL_CORRUPT`.
    pub(crate) async fn tend(&self) -> Result<()> {
        self.forget_idle().await?;
        for _ in 0..=self.log.published().segments().len() {
            if !self.is_worth_a_trim() {
                break;
            }
            self.trim_oldest().await?;
        }
        Ok(())
    }

    async fn forget_idle(&self) -> Result<()> {
        let idle_ms = u64::try_from(self.options.group_idle_max.as_millis()).unwrap_or(u64::MAX);
        let before_ms = self.clock.now_ms().saturating_sub(idle_ms);
        let mut last = None;
        {
            let mut index = self.index.lock();
            for id in index.group_ids() {
                let Some(group) = index.group(id) else { continue };
                if group.members > 0 || group.seen_ms >= before_ms {
                    continue;
                }
                tracing::warn!(group = %group.name, topic = index.topic(group.topic).map(|topic| topic.name.as_str()),
                    "a group has had no subscriber for too long: it is forgotten, with what waited for it");
                last = Some(self.log.append(&record::forgotten(id)).map_err(unavailable)?);
                index.forget_group(id);
            }
        }
        match last {
            Some(last) => last.await.map_err(unavailable),
            None => Ok(()),
        }
    }

    fn is_worth_a_trim(&self) -> bool {
        let published = self.log.published();
        let used = published.used_bytes();
        let oldest = published.segments()[0].head.number;
        let slack = slack_bytes(self.options.journal.segment_bytes);
        let age_ms = u64::try_from(self.options.retained_age.as_millis()).unwrap_or(u64::MAX);
        let index = self.index.lock();
        let is_old =
            index.newest_ms(oldest).is_none_or(|newest| newest < self.clock.now_ms().saturating_sub(age_ms));
        let spare = if is_old { slack } else { slack + self.options.retained_bytes };
        used > 2 * index.needed_bytes + spare
    }

    async fn trim_oldest(&self) -> Result<()> {
        if self.log.published().segments().len() == 1 {
            self.log.rotate().map_err(unavailable)?.await.map_err(unavailable)?;
        }
        let oldest = self.log.published().segments()[0].head.number;
        self.index.lock().dropping = Some(oldest);
        let trimmed = self.trim_segment(oldest).await;
        self.index.lock().dropping = None;
        trimmed
    }

    async fn trim_segment(&self, oldest: u32) -> Result<()> {
        while let Some(copied) = self.copy_some(oldest).await? {
            copied.await.map_err(unavailable)?;
        }
        if let Some(groups) = self.copy_groups()? {
            groups.await.map_err(unavailable)?;
        }
        let gone = self.index.lock().drop_segment(oldest);
        drop_oldest(&self.log, &self.options.journal, oldest).await.map_err(unavailable)?;
        self.shelf.forget(oldest);
        let (blobs, index) = (self.blobs.clone(), self.index.clone());
        blocking(move || {
            gone.iter().try_for_each(|hash| {
                blobs.collect(hash, || Ok::<_, std::convert::Infallible>(index.lock().refers_to(hash)))
            })
        })
        .await?
        .unwrap_or_else(|never| match never {});
        Ok(())
    }

    /// Keeps where every group is.
    fn copy_groups(&self) -> Result<Option<Acknowledged>> {
        let index = self.index.lock();
        let mut last = None;
        for id in index.group_ids() {
            last = Some(self.append_group(&index, id).map_err(unavailable)?);
        }
        Ok(last)
    }

    /// Copies some of the needed messages in the segment; `None` when there are no more.
    async fn copy_some(&self, oldest: u32) -> Result<Option<Acknowledged>> {
        let wanted: Vec<(u32, u64, Place)> = {
            let index = self.index.lock();
            let of = |(id, topic): (u32, &super::index::Topic)| {
                let needed = topic.needed_in(oldest).take(COPIED_AT_ONCE);
                needed.map(|(seq, place)| (id, seq, place)).collect::<Vec<_>>()
            };
            index.topics().flat_map(of).take(COPIED_AT_ONCE).collect()
        };
        if wanted.is_empty() {
            return Ok(None);
        }
        let mut read = Vec::new();
        let mut bytes = 0;
        for (topic, seq, place) in wanted {
            // The segment is there until this round drops it.
            let payload =
                self.shelf.payload(place).map_err(|fault: Fault| unavailable(fault.refuse_read()))?;
            bytes += place.bytes as usize;
            read.extend(payload.map(|payload| (topic, seq, place, payload)));
            if bytes >= COPY_BYTES {
                break;
            }
        }
        self.copy(read).map(Some)
    }

    fn copy(&self, read: Vec<(u32, u64, Place, Vec<u8>)>) -> Result<Acknowledged> {
        let mut records = Records::default();
        let mut coming = Vec::new();
        let mut index = self.index.lock();
        for (topic, seq, place, payload) in read {
            let is_there =
                index.topic(topic).and_then(|topic| topic.slot(seq)).is_some_and(|slot| slot.place == place);
            if !is_there {
                continue;
            }
            let published_ms = record::message(&payload).map_or(0, |stored| stored.published_ms);
            let at = records.bytes().len();
            records.push(record::kind::MESSAGE, |bytes| bytes.extend_from_slice(&payload));
            debug_assert_eq!(records.bytes().len(), at + padded(HEADER_BYTES + payload.len()));
            coming.push(Coming { batch: 0, at, bytes: place.bytes, topic, seq, published_ms, is_copy: true });
        }
        let acknowledged = self.log.append(&records).map_err(unavailable)?;
        for one in coming {
            let (batch, at) = (acknowledged.batch(), acknowledged.at() + one.at);
            index.push_copy(Coming { batch, at, ..one });
        }
        Ok(acknowledged)
    }
}
