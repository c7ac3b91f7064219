//! ★ Price lists: what a replica costs in an hour. To add one: a row in `ALL`, with where and when its numbers were
//! read.
//!
//! One list holds for all policies of a report, so that policies are compared and not vendors. Requests, traffic,
//! balancers, free allowances and discounts are left out.

/// What an hour costs, in US dollars.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Its name.
    pub name: &'static str,
    /// What it is the list of, and of when.
    pub about: &'static str,
    /// An hour of a processor.
    pub cpu_hour: f64,
    /// An hour of a GiB of memory.
    pub memory_gib_hour: f64,
}

/// Every list; the first holds where none is chosen.
pub static ALL: &[Price] = &[
    Price {
        name: "fargate",
        about: "AWS Fargate, Linux on x86, us-east-1, as published in spring 2026",
        cpu_hour: 0.040_48,
        memory_gib_hour: 0.004_445,
    },
    Price {
        name: "cloud-run",
        // $0.000024 a processor-second, $0.0000025 a GiB-second.
        about: "Google Cloud Run, tier 1, billed by request, as published in spring 2026",
        cpu_hour: 0.086_4,
        memory_gib_hour: 0.009,
    },
];

/// The list of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Price> {
    ALL.iter().find(|price| price.name == name)
}

impl Price {
    /// What a replica of this size costs in an hour.
    #[must_use]
    pub fn replica_hour(&self, cpu_milli: u32, memory_bytes: u64) -> f64 {
        let gib = memory_bytes as f64 / (1_u64 << 30) as f64;
        self.cpu_hour * f64::from(cpu_milli) / 1000.0 + self.memory_gib_hour * gib
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_costs_its_processor_and_its_memory() {
        // Half a processor and 2 GiB: 0.02024 + 0.00889.
        let cost = ALL[0].replica_hour(500, 2 << 30);
        assert!((cost - 0.029_13).abs() < 1e-9, "{cost}");
    }
}
