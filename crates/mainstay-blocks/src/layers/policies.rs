//! Which policies hold for whom, compiled: guards are made from here.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use mainstay_core::Result;
use mainstay_core::resiliency::{BuiltIn, Chosen, Direction, Policies};

use super::Guard;
use super::breaker::{Breaker, Plan};

/// Breakers kept for the endpoints of an app of which no file speaks.
const BREAKERS_MAX: usize = 100;

/// The policies that hold for one app; cheap to clone. Its guards share their circuit breakers: two guards for the same
/// have the same one.
#[derive(Clone, Debug, Default)]
pub struct Layers(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    policies: Policies,
    plans: BTreeMap<String, Arc<Plan>>,
    of_components: Mutex<HashMap<(String, bool), Arc<Breaker>>>,
    of_apps: Mutex<HashMap<String, Endpoints>>,
}

/// The breakers of an app's endpoints, each with when it was last asked for.
#[derive(Debug, Default)]
struct Endpoints {
    breakers: HashMap<String, (u64, Arc<Breaker>)>,
    asked: u64,
}

/// What stands around calls of an app.
#[derive(Clone, Debug, Default)]
pub struct AppGuard {
    /// What files ask for.
    pub asked: Guard,
    /// Inside it: what is tried again while the app cannot be reached at all. Nothing where files speak of the app.
    pub unreached: Guard,
}

impl Layers {
    /// Compiles policies. Errors: `CONFIG_VALUE` for a breaker's condition that is none.
    pub fn new(policies: Policies) -> Result<Self> {
        let mut plans = BTreeMap::new();
        for (name, breaker) in &policies.named.breakers {
            plans.insert(name.clone(), Arc::new(Plan::new(name, breaker)?));
        }
        Ok(Self(Arc::new(Inner { policies, plans, ..Inner::default() })))
    }

    /// What it was made from.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        &self.0.policies
    }

    /// What stands around the calls of a component. `block` is the building block as names of policies have it.
    #[must_use]
    pub fn component(&self, name: &str, block: &str, direction: Direction) -> Guard {
        let chosen = self.0.policies.for_component(name, block, direction);
        let breaker = chosen.breaker.and_then(|(breaker, _)| {
            let plan = self.0.plans.get(breaker)?;
            let mut all = self.0.of_components.lock().unwrap_or_else(PoisonError::into_inner);
            let key = (name.to_owned(), direction == Direction::Inbound);
            Some(Arc::clone(all.entry(key).or_insert_with(|| Arc::new(Breaker::new(plan, name)))))
        });
        guard(name, &chosen, breaker)
    }

    /// What stands around calls of an endpoint of an app. Each endpoint has a breaker of its own.
    #[must_use]
    pub fn app(&self, app: &str, endpoint: &str) -> AppGuard {
        let policies = &self.0.policies;
        let target = policies.targets.apps.get(app);
        let chosen = policies.for_app(app);
        let most = target.map_or(BREAKERS_MAX, |target| target.breakers_max).max(1);
        let breaker = chosen.breaker.and_then(|(breaker, _)| {
            let plan = self.0.plans.get(breaker)?;
            let mut all = self.0.of_apps.lock().unwrap_or_else(PoisonError::into_inner);
            // Who asks for apps that are not there fills nothing but the last place.
            if all.len() >= BREAKERS_MAX && !all.contains_key(app) {
                all.retain(|known, _| policies.targets.apps.contains_key(known));
            }
            let endpoints = all.entry(app.to_owned()).or_default();
            Some(endpoints.breaker(endpoint, most, || Breaker::new(plan, &format!("{app}:{endpoint}"))))
        });
        let unreached = match target {
            Some(_) => Guard::default(),
            None => self.built_in(BuiltIn::Invocation),
        };
        AppGuard { asked: guard(app, &chosen, breaker), unreached }
    }

    /// What is tried again without a policy of a file.
    #[must_use]
    pub fn built_in(&self, built_in: BuiltIn) -> Guard {
        let retry = self.0.policies.built_in.get(&built_in).cloned();
        Guard::new(format!("{built_in:?}"), None, retry, None)
    }
}

fn guard(subject: &str, chosen: &Chosen<'_>, breaker: Option<Arc<Breaker>>) -> Guard {
    Guard::new(subject.to_owned(), chosen.timeout, chosen.retry.cloned(), breaker)
}

impl Endpoints {
    fn breaker(&mut self, endpoint: &str, most: usize, new: impl FnOnce() -> Breaker) -> Arc<Breaker> {
        self.asked += 1;
        if let Some((asked, breaker)) = self.breakers.get_mut(endpoint) {
            *asked = self.asked;
            return Arc::clone(breaker);
        }
        if self.breakers.len() >= most {
            let oldest = self.breakers.iter().min_by_key(|(_, (asked, _))| *asked);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.breakers.remove(&oldest);
            }
        }
        let breaker = Arc::new(new());
        self.breakers.insert(endpoint.to_owned(), (self.asked, Arc::clone(&breaker)));
        breaker
    }
}
