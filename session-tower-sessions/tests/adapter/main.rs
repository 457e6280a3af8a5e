//! The adapter, under tower-sessions' layer, under axum-login, and called directly.

mod app;
mod axum_login;
mod contract;
mod owners;
mod site;
