//! `deploy`: each environment has what it says itself, else what `base` says, else a default.

use mainstay_core::codes;
use mainstay_core::plan::{Deploy, Environment, FilePatch, Language, Pace, Route, Scaler, Sizing};

use super::Lowering;
use super::process::env_value;
use crate::raw;

impl Lowering<'_, '_> {
    pub(super) fn deploy(&mut self, raw: raw::Deploy) -> Option<Deploy> {
        let raw::Deploy {
            image,
            version,
            repository,
            branch,
            language,
            services,
            terraform: raw::Terraform { platforms },
            objective_percent,
            base,
            overlays,
            patches,
        } = raw;
        let failures_ppm = failures_ppm(objective_percent);
        let language = language.map(|language| match language {
            raw::Language::Python => Language::Python,
            raw::Language::Node => Language::Node,
            raw::Language::Rust => Language::Rust,
        });
        let each = [overlays.dev, overlays.staging, overlays.prod];
        let sized = Environment::ALL.into_iter().zip(each).map(|(environment, overlay)| {
            let own = format!("/deploy/overlays/{environment}");
            let sizing = over(&overlay, over(&base, environment.sizing()));
            self.sizing(&own, &sizing).then_some((environment, sizing))
        });
        let environments: Vec<Option<_>> = sized.collect();
        let environments = environments.into_iter().collect::<Option<_>>()?;
        let patches = patches.into_iter().enumerate();
        let patches: Vec<Option<_>> = patches.map(|(n, patch)| self.file_patch(n, patch)).collect();
        let patches = patches.into_iter().collect::<Option<_>>()?;
        Some(Deploy {
            image,
            version,
            repository,
            branch,
            language,
            services,
            platforms,
            failures_ppm,
            environments,
            patches,
        })
    }

    /// A change of a file, each of whose operations has what its kind wants and nothing else.
    fn file_patch(&mut self, n: usize, raw: raw::FilePatch) -> Option<FilePatch> {
        use raw::Op;
        let mut fits = true;
        for (m, operation) in raw.operations.iter().enumerate() {
            let (value, from) = match operation.op {
                Op::Add | Op::Replace | Op::Test => (true, false),
                Op::Move | Op::Copy => (false, true),
                Op::Remove => (false, false),
            };
            let keys =
                [("value", value, operation.value.is_some()), ("from", from, operation.from.is_some())];
            for (key, wanted, given) in keys.into_iter().filter(|(_, wanted, given)| wanted != given) {
                let at = format!("/deploy/patches/{n}/operations/{m}");
                let at = if given { format!("{at}/{key}") } else { at };
                let message = if wanted {
                    format!("this operation lacks `{key}`")
                } else {
                    format!("`{key}` has no meaning for this operation")
                };
                let help = "`add`, `replace` and `test` take `value`, `move` and `copy` take `from`";
                self.fault(&at, &codes::CONFIG_VALUE, message, Some(help.to_owned()));
                fits = false;
            }
        }
        let operations = raw.operations.iter().filter_map(|operation| serde_json::to_value(operation).ok());
        fits.then(|| FilePatch { file: raw.file, operations: operations.collect() })
    }

    /// Whether what an environment has fits together.
    fn sizing(&mut self, own: &str, sizing: &Sizing) -> bool {
        let mut fits = true;
        let mut fault = |key: &str, message: String, help: &str| {
            let pointer = format!("{own}/{key}");
            let pointer = if self.given(&pointer) { pointer } else { format!("/deploy/base/{key}") };
            self.fault(&pointer, &codes::CONFIG_VALUE, message, Some(help.to_owned()));
            fits = false;
        };
        if sizing.replicas_min > sizing.replicas_max {
            let message = format!(
                "the fewest replicas ({}) are more than the most ({})",
                sizing.replicas_min, sizing.replicas_max
            );
            fault("replicas", message, "let `min` be at most `max`");
        }
        if sizing.replicas_min == 0 && sizing.scaler == Scaler::Fixed {
            let message = "without a scaler, no replica would ever start".to_owned();
            fault("replicas", message, "let `min` be 1 or more, or choose another `scaler`");
        }
        if sizing.cpu_milli == 0 {
            fault("cpu", "a replica needs processor time".to_owned(), "write it like `250m` or `1`");
        }
        fits
    }
}

/// What of a million may fail where so many of a hundred are to succeed; the schema keeps it from being none or all.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the schema has bounds for it")]
fn failures_ppm(objective_percent: f64) -> u32 {
    ((100.0 - objective_percent) * 10_000.0).round() as u32
}

/// What `raw` says, and what `under` says where it does not.
fn over(raw: &raw::Sizing, under: Sizing) -> Sizing {
    let mut variables = under.variables;
    variables.extend(raw.env.iter().map(|(name, value)| (name.clone(), env_value(value.clone()))));
    Sizing {
        cpu_milli: raw.cpu.as_deref().map_or(under.cpu_milli, millis),
        cpu_limit: raw.cpu_limit.unwrap_or(under.cpu_limit),
        memory_bytes: raw.memory.map_or(under.memory_bytes, |size| size.0),
        storage_bytes: raw.storage.map(|size| size.0).or(under.storage_bytes),
        replicas_min: raw.replicas.map_or(under.replicas_min, |replicas| replicas.min),
        replicas_max: raw.replicas.map_or(under.replicas_max, |replicas| replicas.max),
        scaler: raw.scaler.map_or(under.scaler, |scaler| match scaler {
            raw::Scaler::Hpa => Scaler::BuiltIn,
            raw::Scaler::Keda => Scaler::Events,
            raw::Scaler::Fixed => Scaler::Fixed,
        }),
        in_flight: raw.in_flight.unwrap_or(under.in_flight),
        cpu_percent: raw.cpu_percent.or(under.cpu_percent),
        scale_up: raw.scale_up.map_or(under.scale_up, |raw| pace(raw, under.scale_up)),
        scale_down: raw.scale_down.map_or(under.scale_down, |raw| pace(raw, under.scale_down)),
        host: raw.host.clone().or(under.host),
        route: raw.route.map_or(under.route, |route| match route {
            raw::Route::Gateway => Route::Gateway,
            raw::Route::Ingress => Route::Ingress,
        }),
        variables,
    }
}

/// Amounts are said together: who says how many replicas means no share of them besides.
fn pace(raw: raw::Pace, under: Pace) -> Pace {
    let said = raw.replicas.is_some() || raw.percent.is_some();
    let (replicas, percent) =
        if said { (raw.replicas, raw.percent) } else { (under.replicas, under.percent) };
    Pace {
        replicas,
        percent,
        every: raw.every.map_or(under.every, |time| time.0),
        after: raw.after.map_or(under.after, |time| time.0),
    }
}

/// Thousandths of a core; the walk along the schema has seen to the form.
fn millis(text: &str) -> u32 {
    if let Some(millis) = text.strip_suffix('m') {
        return millis.parse().unwrap_or(0);
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part: u32 = format!("{part:0<3}").parse().unwrap_or(0);
    whole.parse::<u32>().unwrap_or(0) * 1000 + part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_fail_is_what_the_objective_leaves() {
        for (percent, expect) in [(99.9, 1_000), (99.0, 10_000), (99.999, 10), (50.0, 500_000), (99.95, 500)]
        {
            assert_eq!(failures_ppm(percent), expect, "{percent}");
        }
    }

    #[test]
    fn a_pace_says_its_amounts_together_and_keeps_the_times_that_are_not_said() {
        let two = raw::Pace { replicas: Some(2), ..raw::Pace::default() };
        let Pace { replicas, percent, every, after } = pace(two, Pace::UP);
        assert_eq!((replicas, percent, every, after), (Some(2), None, Pace::UP.every, Pace::UP.after));
        let later = raw::Pace { after: Some(crate::quantity::Time::seconds(120)), ..raw::Pace::default() };
        assert_eq!(
            pace(later, Pace::DOWN),
            Pace { after: std::time::Duration::from_secs(120), ..Pace::DOWN }
        );
    }

    #[test]
    fn processor_time_is_in_cores_or_thousandths() {
        for (text, expect) in
            [("250m", 250), ("1", 1000), ("0.5", 500), ("2.25", 2250), ("0.001", 1), ("0", 0)]
        {
            assert_eq!(millis(text), expect, "{text}");
        }
    }
}
