//! Resource files from outside: texts in, resources, faults and warnings out. The types of component are fakes.

mod fakes;
mod faults;
mod hostile;
mod resources;
mod scalars;
