//! What AKS runs at 2 AM, as far as it can be run without AKS: the image is built and looked at, every overlay
//! is rendered and checked, and the manifests' own containers are run with the manifests' own security
//! settings against a real PostgreSQL and Azurite. The setup and restore scripts run whole, with the real
//! kubectl and azure-cli.
//!
//! `scripts/setup-containers` installs what this needs.

mod administration;
mod api;
mod arm64;
mod backup_now;
mod documents;
mod fleet;
mod follow;
mod identity;
mod image;
mod jobs;
mod killed;
mod manifests;
mod pitr;
mod pod;
mod recovery;
mod setup;
mod site;
mod stage;
mod variables;
