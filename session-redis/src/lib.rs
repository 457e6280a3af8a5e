//! Sessions in Redis, Redis Cluster, Sentinel or Valkey.
