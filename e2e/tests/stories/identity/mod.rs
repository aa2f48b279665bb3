//! No key, nothing to rotate: the programs run as a pod with a workload identity does, on an Azurite that takes bearer
//! tokens, which a scripted Microsoft Entra ID gives out.

mod entra;
mod programs;
mod renewal;
mod ways;

use std::sync::OnceLock;

use e2e::tls::Certificate;
use e2e::{Azurite, Container, Program, Scratch, Seen};
use scripted_service::Entra;

/// A service account's token; no part of it may be shown.
const ASSERTION: &str =
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJTM0NSRVRDTEExTVMifQ.U0MzQ1IzVFMxR05BVFVSRQ";

/// What all of these stories share.
struct Shared {
    certificate: Certificate,
    azurite: Azurite,
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let certificate = Certificate::make();
        Shared {
            azurite: Azurite::oauth(&certificate),
            certificate,
        }
    })
}

/// A container, and an identity that may use it.
struct Pod {
    container: Container,
    entra: Entra,
    scratch: Scratch,
}

impl Pod {
    fn new() -> Self {
        let Shared {
            certificate,
            azurite,
        } = shared();
        let entra = Entra::https(&certificate.certificate, &certificate.key);
        entra.change(|state| state.assertion = Some(ASSERTION.into()));
        Self {
            container: azurite.container(),
            entra,
            scratch: Scratch::new(),
        }
    }

    fn store(&self) -> String {
        self.container.url()
    }

    /// With the variables that the cluster's webhook sets.
    fn run(&self, program: Program) -> Program {
        let file = self.scratch.write("account-token", ASSERTION);
        program
            .env("AZURE_FEDERATED_TOKEN_FILE", file)
            .env("AZURE_CLIENT_ID", "11111111-client")
            .env("AZURE_TENANT_ID", "22222222-tenant")
            .env("AZURE_AUTHORITY_HOST", format!("{}/", self.entra.url()))
            .env("SSL_CERT_FILE", &shared().certificate.authority)
    }

    fn program(&self, name: &str) -> Program {
        self.run(Program::new(name))
    }

    /// Runs it; it must exit 0, after one exchange.
    fn succeeds_with_one_exchange(&self, program: Program) -> Seen {
        let before = self.entra.count();
        let seen = self.run(program).succeeds();
        assert_eq!(self.entra.count() - before, 1, "exchanges\n{seen}");
        self.hides_all(&seen);
        seen
    }

    fn hides_all(&self, seen: &Seen) {
        for token in self
            .entra
            .issued()
            .iter()
            .map(String::as_str)
            .chain([ASSERTION])
        {
            for part in token.split('.') {
                seen.hides(part);
            }
        }
        seen.hides("panicked");
    }

    /// Old backups, which may go.
    fn fill(&self, count: usize) {
        let name = |at| format!("postgresql_backup_20200101_{at:06}.sql.gz");
        let names: Vec<String> = (0..count).map(name).collect();
        self.container.fill(&names);
    }
}
