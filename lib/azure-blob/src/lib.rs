//! The Blob service over SAS REST.
