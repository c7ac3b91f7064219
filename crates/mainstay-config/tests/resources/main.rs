//! Resource files from outside: texts in, resources, faults and warnings out. The types of component are fakes.

mod configuration;
mod fakes;
mod faults;
mod hostile;
mod resiliency;
mod resources;
mod scalars;
