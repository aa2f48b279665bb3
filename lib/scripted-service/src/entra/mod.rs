//! The token endpoint of Microsoft Entra ID and the Instance Metadata Service, as their documentation shows them, on
//! loopback: they give out tokens that Azurite takes, and refuse as they are told to.

mod answer;
mod connection;
mod endpoint;
mod state;

pub use endpoint::{Bearers, Entra};
pub use state::{EntraFault, EntraState, TokenRequest};
