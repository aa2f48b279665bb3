//! The request for a bearer token: to Microsoft Entra ID's token endpoint with the service account's token ("Microsoft
//! identity platform and the OAuth 2.0 client credentials flow", third case), or to the Instance Metadata Service.

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use job::secret;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ureq::http::{Method, Request, Uri};
use ureq::tls::RootCerts;

use super::bearer::Bearer;
use super::entra_error::{hint, read_refusal};
use super::source::{
    IdentityKind, IdentitySource, ManagedIdentity, ProxyAuthority, TokenProxy, WorkloadIdentity,
};
use crate::credential::secret::Secret;
use crate::transport::{Cancel, Fault, Host, Next, Route, agent, body_of, roots_of};
use crate::url::Endpoint;
use crate::{Error, ErrorKind, Options};

/// What a token is for: the storage services of all accounts, in every cloud ("Authorize with Microsoft Entra ID").
const RESOURCE: &str = "https://storage.azure.com";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// No token is longer. The name may lead to something that never ends.
const LONGEST: usize = 64 << 10;
/// Nor is an answer.
const LONGEST_ANSWER: u64 = 256 << 10;

/// A request for a token, without the part that is secret and read anew for each.
struct TokenRequest<'a> {
    url: String,
    /// The host's name, where the URL has another one: that of the certificate.
    host: Option<&'a str>,
    identity: &'a IdentityKind,
}

/// Asks for a token until there is one, or it is given up.
///
/// # Errors
/// Kind [`Identity`](ErrorKind::Identity): a "no"; others if nobody answers.
pub(super) fn exchange(
    source: &IdentitySource,
    options: &Options,
    cancel: &Cancel,
) -> Result<Bearer, Error> {
    let cannot = format!("cannot get a token for the {source}");
    let (request, endpoint, route) = match &*source.kind {
        IdentityKind::Workload(workload) => of_workload(workload, &source.kind)?,
        IdentityKind::Managed(managed) => of_managed(managed, &source.kind),
    };
    let agent = agent(route, options);
    let service = match &*source.kind {
        IdentityKind::Workload(_) => "Microsoft Entra ID",
        IdentityKind::Managed(_) => "the Instance Metadata Service",
    };
    let host = Host::new(&endpoint.authority, service, agent, options.clone());
    let mut tries = host.tries(&cannot);
    loop {
        let fault = match request.send(&host) {
            Ok(bearer) => return Ok(bearer),
            Err(fault) => fault,
        };
        match tries.after(&fault, cancel) {
            Next::Again => {}
            Next::Over(error) => return Err(explained(error, &source.kind)),
            Next::Final => {
                return Err(match fault {
                    Fault::Refused(refusal) => {
                        let said = format!("{cannot}: {refusal}");
                        let error = Error::new(ErrorKind::Identity, said);
                        match hint(&refusal, &source.kind) {
                            Some(hint) => error.hint(hint),
                            None => error,
                        }
                    }
                    fault => host.error(&cannot, fault),
                });
            }
        }
    }
}

/// Why nobody answers: there is a metadata service on machines of Azure's only.
fn explained(error: Error, identity: &IdentityKind) -> Error {
    let hint = match identity {
        IdentityKind::Managed(_) => {
            "only a machine of Azure's has a managed identity, and AKS may keep its pods from it: take a workload identity there".to_owned()
        }
        IdentityKind::Workload(workload) => {
            let name = match workload.token_proxy {
                Some(_) => "AZURE_KUBERNETES_TOKEN_PROXY",
                None => "AZURE_AUTHORITY_HOST",
            };
            format!(
                "does the network policy or the firewall let that host through, does its name resolve here? {name} names it"
            )
        }
    };
    error.hint_if(ErrorKind::Unreachable, &hint)
}

fn of_workload<'a>(
    workload: &'a WorkloadIdentity,
    identity: &'a IdentityKind,
) -> Result<(TokenRequest<'a>, &'a Endpoint, Route), Error> {
    let path = format!("{}/oauth2/v2.0/token", workload.tenant);
    let Some(proxy) = &workload.token_proxy else {
        let authority = &workload.authority;
        let request = TokenRequest {
            url: format!("{}/{path}", authority.url()),
            host: None,
            identity,
        };
        let route = Route::to(
            authority.https,
            &authority.authority,
            authority.is_loopback(),
        )?;
        return Ok((request, authority, route));
    };
    let endpoint = &proxy.endpoint;
    let route = Route {
        https: true,
        roots: proxy_roots(proxy)?,
        // It is a part of the cluster.
        proxy: None,
        address: match proxy.sni {
            Some(_) => Some(uri(&endpoint.url())?),
            None => None,
        },
    };
    let request = TokenRequest {
        url: match &proxy.sni {
            Some(name) => format!("https://{name}{}/{path}", endpoint.path),
            None => format!("{}/{path}", endpoint.url()),
        },
        host: Some(&endpoint.authority),
        identity,
    };
    Ok((request, endpoint, route))
}

fn of_managed<'a>(
    managed: &'a ManagedIdentity,
    identity: &'a IdentityKind,
) -> (TokenRequest<'a>, &'a Endpoint, Route) {
    let metadata = &managed.metadata;
    let mut url = format!(
        "{}/metadata/identity/oauth2/token?api-version=2018-02-01&resource={}",
        metadata.url(),
        encoded(RESOURCE)
    );
    if let Some(client) = &managed.client {
        // Writing to a String cannot fail.
        let _ = write!(url, "&client_id={}", encoded(client));
    }
    let request = TokenRequest {
        url,
        host: None,
        identity,
    };
    let route = Route {
        https: metadata.https,
        roots: RootCerts::WebPki,
        // "Requests must contain the header Metadata: true" and must not go through a proxy.
        proxy: None,
        address: None,
    };
    (request, metadata, route)
}

fn proxy_roots(proxy: &TokenProxy) -> Result<RootCerts, Error> {
    let (pem, name) = match &proxy.authority {
        ProxyAuthority::System => return crate::transport::root_certs(),
        ProxyAuthority::Data(data) => (data.as_bytes().to_vec(), "AZURE_KUBERNETES_CA_DATA".into()),
        ProxyAuthority::File(path) => {
            let name = format!("AZURE_KUBERNETES_CA_FILE '{}'", path.display());
            let pem = job::read_regular(path, 1 << 20).map_err(|error| {
                let said = job::Error::io(format_args!("cannot read {name}"), &error);
                Error::new(ErrorKind::Identity, said.to_string())
            })?;
            (pem, name)
        }
    };
    let none = || Error::new(ErrorKind::Identity, format!("no certificates in {name}"));
    roots_of(&pem).ok_or_else(none)
}

fn uri(text: &str) -> Result<Uri, Error> {
    text.parse()
        .map_err(|_| Error::new(ErrorKind::Identity, format!("'{text}' is no URL")))
}

impl TokenRequest<'_> {
    fn send(&self, host: &Host) -> Result<Bearer, Fault> {
        let asked = Instant::now();
        let mut request = Request::builder()
            .uri(&self.url)
            .header("accept", "application/json");
        if let Some(name) = self.host {
            request = request.header("host", name);
        }
        let built = match self.identity {
            IdentityKind::Workload(workload) => {
                let form = form(workload).map_err(Fault::Final)?;
                let request = request
                    .method(Method::POST)
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(form.expose().as_bytes().to_vec());
                request.map(|request| host.run(request, LONGEST_ANSWER))
            }
            IdentityKind::Managed(_) => {
                let request = request.header("metadata", "true").body(());
                request.map(|request| host.run(request, LONGEST_ANSWER))
            }
        };
        let answer = built.map_err(|error| {
            let said = format!("no request can be made of '{}': {error}", self.url);
            Fault::Final(Error::new(ErrorKind::Identity, said))
        })??;
        let (parts, body) = answer.into_parts();
        if parts.status == 200 {
            return Bearer::read(&body_of(body, LONGEST_ANSWER)?, asked);
        }
        // If its body does not arrive, the head says enough.
        let body = body_of(body, LONGEST_ANSWER).unwrap_or_default();
        let refusal = read_refusal(parts.status, &parts.headers, &body, self.identity);
        Err(Fault::Refused(Box::new(refusal)))
    }
}

/// With the service account's token as it is now. A secret.
fn form(workload: &WorkloadIdentity) -> Result<Secret, Error> {
    let token = read_token(&workload.token_file)?;
    let scope = format!("{RESOURCE}/.default");
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", &workload.client),
        ("scope", &scope),
        ("client_assertion_type", ASSERTION),
        ("client_assertion", token.expose()),
    ];
    let fields = fields.map(|(name, value)| format!("{name}={}", encoded(value)));
    Ok(Secret::new(fields.join("&")))
}

fn read_token(path: &Path) -> Result<Secret, Error> {
    let name = path.display();
    let error = |said: String| {
        Error::new(ErrorKind::Identity, said).hint(
            "AZURE_FEDERATED_TOKEN_FILE names the service account's token, which the cluster projects into the pod",
        )
    };
    let bytes = job::read_any(path, LONGEST).map_err(|failed| {
        let doing = format_args!("cannot read the service account's token '{name}'");
        error(job::Error::io(doing, &failed).to_string())
    })?;
    let text = String::from_utf8(bytes).unwrap_or_default();
    let text = text.trim();
    secret::learn_token(text);
    match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(Secret::new(text)),
        false => Err(error(format!("'{name}' holds no token"))),
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_token_file_is_read_at_each_exchange() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let workload = WorkloadIdentity {
            token_file: path.clone(),
            client: "c+d".into(),
            tenant: "t".into(),
            authority: Endpoint::parse("https://login.example").unwrap(),
            token_proxy: None,
        };
        let error = form(&workload).unwrap_err();
        assert!(error.to_string().contains("No such file"), "{error}");
        fs::write(&path, "head.F1RSTF1RST.sig\n").unwrap();
        let first = form(&workload).unwrap();
        assert_eq!(
            first.expose(),
            "grant_type=client%5Fcredentials&client_id=c%2Bd&scope=https%3A%2F%2Fstorage%2Eazure%2Ecom%2F%2Edefault\
             &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient%2Dassertion%2Dtype%3Ajwt%2Dbearer\
             &client_assertion=head%2EF1RSTF1RST%2Esig"
        );
        fs::write(&path, "head.S3C0NDS3C0ND.sig").unwrap();
        assert!(form(&workload).unwrap().expose().contains("S3C0ND"));
        // Neither is shown.
        let shown = secret::hidden("head.F1RSTF1RST.sig and S3C0NDS3C0ND");
        assert_eq!(shown, "*** and ***");
        for wrong in ["", " \n", "two words", "a\0b"] {
            fs::write(&path, wrong).unwrap();
            let error = form(&workload).unwrap_err();
            assert!(error.to_string().contains("holds no token"), "{error}");
        }
    }
}
