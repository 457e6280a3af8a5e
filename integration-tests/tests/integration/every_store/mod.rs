//! What holds of the stores of every database and layout, however they are made and dropped.

#[cfg(target_os = "linux")]
mod dropped;
mod place;
#[cfg(target_os = "linux")]
mod relay;
mod runtimes;
mod told;
