//! Which identity the environment names: a workload identity, as AKS's webhook sets the variables of a pod, or the
//! machine's managed identity.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::url::Endpoint;
use crate::{ContainerUrl, Error, ErrorKind};

const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
const CLIENT: &str = "AZURE_CLIENT_ID";
const TENANT: &str = "AZURE_TENANT_ID";
const AUTHORITY: &str = "AZURE_AUTHORITY_HOST";
const TOKEN_PROXY: &str = "AZURE_KUBERNETES_TOKEN_PROXY";
const SNI_NAME: &str = "AZURE_KUBERNETES_SNI_NAME";
const CA_FILE: &str = "AZURE_KUBERNETES_CA_FILE";
const CA_DATA: &str = "AZURE_KUBERNETES_CA_DATA";
/// Where the official clients look for another Instance Metadata Service.
const METADATA: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
/// The Instance Metadata Service, the same on every machine of Azure's. It speaks http only, and no packet to it leaves
/// the host.
const METADATA_HOST: &str = "169.254.169.254";

/// The value of a variable; none if it is not set, or empty.
type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// An identity, and what a token for it is asked with.
#[derive(Debug, Clone)]
pub struct IdentitySource {
    pub(super) kind: Arc<IdentityKind>,
}

#[derive(Debug, Clone)]
pub(super) enum IdentityKind {
    Workload(WorkloadIdentity),
    Managed(ManagedIdentity),
}

/// A managed identity or an application that trusts the tokens of a service account.
#[derive(Debug, Clone)]
pub(super) struct WorkloadIdentity {
    /// With the service account's token, which is projected anew within its hour.
    pub(super) token_file: PathBuf,
    pub(super) client: String,
    pub(super) tenant: String,
    pub(super) authority: Endpoint,
    pub(super) token_proxy: Option<TokenProxy>,
}

/// The cluster's own endpoint, which exchanges tokens for identity bindings.
#[derive(Debug, Clone)]
pub(super) struct TokenProxy {
    pub(super) endpoint: Endpoint,
    /// The name that its certificate has and by which it is told apart.
    pub(super) sni: Option<String>,
    pub(super) authority: ProxyAuthority,
}

/// What the certificate of a token proxy must lead to.
#[derive(Debug, Clone)]
pub(super) enum ProxyAuthority {
    System,
    /// Read at each exchange: the cluster may renew it.
    File(PathBuf),
    Data(String),
}

/// The identity of a virtual machine, which everything on it may use.
#[derive(Debug, Clone)]
pub(super) struct ManagedIdentity {
    /// Which one, if there are several.
    pub(super) client: Option<String>,
    pub(super) metadata: Endpoint,
}

impl IdentitySource {
    /// The workload identity that the variables name; none without `AZURE_FEDERATED_TOKEN_FILE`.
    pub(crate) fn workload_if_named(
        set: Variables<'_>,
        container: &ContainerUrl,
    ) -> Result<Option<Self>, Error> {
        match set(TOKEN_FILE) {
            Some(_) => Self::workload(set, container).map(Some),
            None => Ok(None),
        }
    }

    /// The workload identity that the variables name.
    pub(crate) fn workload(set: Variables<'_>, container: &ContainerUrl) -> Result<Self, Error> {
        let (Some(token_file), Some(client), Some(tenant)) =
            (set(TOKEN_FILE), text(set, CLIENT)?, text(set, TENANT)?)
        else {
            return Err(half_named(set));
        };
        // It becomes a part of a path.
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
        if !tenant.chars().all(is_name) || tenant.contains("..") {
            return Err(wrong(TENANT, "is no tenant's ID").hint("it is a UUID or a domain"));
        }
        let host = text(set, AUTHORITY)?;
        let host = host.as_deref().unwrap_or_else(|| container.sign_in());
        let authority = Endpoint::parse(host).ok_or_else(|| {
            wrong(AUTHORITY, "is no URL of Microsoft Entra ID")
                .hint("write https://login.microsoftonline.com, or that of another cloud")
        })?;
        Ok(Self {
            kind: Arc::new(IdentityKind::Workload(WorkloadIdentity {
                token_file: token_file.into(),
                client,
                tenant,
                authority,
                token_proxy: token_proxy(set)?,
            })),
        })
    }

    /// This machine's managed identity.
    pub(crate) fn managed(set: Variables<'_>) -> Result<Self, Error> {
        let metadata = match text(set, METADATA)? {
            Some(text) => Endpoint::parse(&text).ok_or_else(|| {
                wrong(METADATA, "is no URL of a metadata service")
                    .hint("without it http://169.254.169.254 is asked")
            })?,
            None => Endpoint {
                https: false,
                authority: METADATA_HOST.into(),
                path: String::new(),
            },
        };
        Ok(Self {
            kind: Arc::new(IdentityKind::Managed(ManagedIdentity {
                client: text(set, CLIENT)?,
                metadata,
            })),
        })
    }

    /// The tenant, where it is known.
    pub(crate) fn tenant(&self) -> Option<&str> {
        match &*self.kind {
            IdentityKind::Workload(workload) => Some(&workload.tenant),
            IdentityKind::Managed(_) => None,
        }
    }
}

/// `workload identity 'CLIENT'`
impl fmt::Display for IdentitySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.kind {
            IdentityKind::Workload(workload) => {
                write!(f, "workload identity '{}'", workload.client)
            }
            IdentityKind::Managed(ManagedIdentity {
                client: Some(client),
                ..
            }) => write!(f, "managed identity '{client}'"),
            IdentityKind::Managed(_) => f.write_str("managed identity of this machine"),
        }
    }
}

/// "Set up identity bindings on AKS": all four variables, or none.
fn token_proxy(set: Variables<'_>) -> Result<Option<TokenProxy>, Error> {
    let others = [SNI_NAME, CA_FILE, CA_DATA];
    let Some(endpoint) = text(set, TOKEN_PROXY)? else {
        return match others.iter().find(|name| set(name).is_some()) {
            Some(name) => Err(wrong(TOKEN_PROXY, &format!("is not set, and {name} is"))),
            None => Ok(None),
        };
    };
    let is_https = |it: &Endpoint| it.https;
    let endpoint = Endpoint::parse(&endpoint).filter(is_https).ok_or_else(|| {
        wrong(TOKEN_PROXY, "is no https URL")
            .hint("the cluster's webhook sets it: make the pod anew")
    })?;
    let sni = text(set, SNI_NAME)?;
    let is_label = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if sni.as_ref().is_some_and(|name| !name.chars().all(is_label)) {
        return Err(wrong(SNI_NAME, "is no name of a host"));
    }
    let authority = match (set(CA_FILE), text(set, CA_DATA)?) {
        (Some(_), Some(_)) => return Err(wrong(CA_FILE, &format!("and {CA_DATA} are both set"))),
        (Some(path), None) => ProxyAuthority::File(path.into()),
        (None, Some(data)) => ProxyAuthority::Data(data),
        (None, None) => ProxyAuthority::System,
    };
    Ok(Some(TokenProxy {
        endpoint,
        sni,
        authority,
    }))
}

fn text(set: Variables<'_>, name: &str) -> Result<Option<String>, Error> {
    let Some(value) = set(name) else {
        return Ok(None);
    };
    match value.into_string() {
        Ok(text) if name == CA_DATA || !text.contains(char::is_control) => {
            Ok(Some(text.trim().to_owned()))
        }
        _ => Err(wrong(name, "is no text of one line")),
    }
}

fn wrong(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::Identity, format!("{name} {what}"))
}

fn half_named(set: Variables<'_>) -> Error {
    let missing = [TOKEN_FILE, CLIENT, TENANT].into_iter();
    let missing: Vec<&str> = missing.filter(|name| set(name).is_none()).collect();
    let what = format!(
        "there is no workload identity: {} not set",
        listed(&missing)
    );
    let error = Error::new(ErrorKind::Identity, what);
    // The webhook sets all three, but a service account need not say which client it is.
    error.hint(match missing.as_slice() {
        [CLIENT] => {
            "annotate the service account with azure.workload.identity/client-id, and make the pod anew"
        }
        _ => {
            "the cluster sets them in a pod with the label azure.workload.identity/use: \"true\", if its workload identity is enabled (az aks update --enable-oidc-issuer --enable-workload-identity)"
        }
    })
}

/// `A and B are`
fn listed(names: &[&str]) -> String {
    match names {
        [one] => format!("{one} is"),
        [most @ .., last] => format!("{} and {last} are", most.join(", ")),
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKLOAD: [(&str, &str); 3] = [
        (TOKEN_FILE, "/var/run/token"),
        (CLIENT, "client"),
        (TENANT, "0000-1111"),
    ];

    fn workload(more: &[(&str, &str)], host: &str) -> Result<WorkloadIdentity, String> {
        let (container, _) = ContainerUrl::parse(&format!("https://{host}/backups")).unwrap();
        let set = |name: &str| {
            let mut all = more.iter().chain(&WORKLOAD);
            let found = all.find(|(key, value)| *key == name && !value.is_empty());
            found.map(|(_, value)| OsString::from(value))
        };
        let source = IdentitySource::workload(&set, &container).map_err(|it| it.to_string())?;
        match &*source.kind {
            IdentityKind::Workload(workload) => Ok(workload.clone()),
            IdentityKind::Managed(_) => Err("managed".into()),
        }
    }

    const PUBLIC: &str = "acc.blob.core.windows.net";

    #[test]
    fn the_authority_is_the_cloud_s_unless_it_is_named() {
        let of = |more: &[(&str, &str)], host| workload(more, host).unwrap().authority.url();
        assert_eq!(of(&[], PUBLIC), "https://login.microsoftonline.com");
        let china = "acc.blob.core.chinacloudapi.cn";
        assert_eq!(of(&[], china), "https://login.partner.microsoftonline.cn");
        let named = [(AUTHORITY, "https://login.microsoftonline.us/")];
        assert_eq!(of(&named, china), "https://login.microsoftonline.us");
        for wrong in ["login.microsoftonline.com", "http://example.com", "x"] {
            let error = workload(&[(AUTHORITY, wrong)], PUBLIC).unwrap_err();
            assert!(error.contains(AUTHORITY), "{error}");
        }
    }

    #[test]
    fn a_tenant_is_no_path() {
        for wrong in ["a/b", "../x", "..", "a b", "a?x", "a\nb"] {
            let error = workload(&[(TENANT, wrong)], PUBLIC).unwrap_err();
            assert!(error.contains(TENANT), "{error}");
        }
        assert!(workload(&[(TENANT, "contoso.onmicrosoft.com")], PUBLIC).is_ok());
    }

    #[test]
    fn an_identity_binding_has_a_token_proxy() {
        assert!(workload(&[], PUBLIC).unwrap().token_proxy.is_none());
        let all = [
            (TOKEN_PROXY, "https://10.0.0.1:443/proxy"),
            (SNI_NAME, "abc.ests.aks"),
            (CA_FILE, "/ca.crt"),
        ];
        let proxy = workload(&all, PUBLIC).unwrap().token_proxy.unwrap();
        assert_eq!(proxy.endpoint.url(), "https://10.0.0.1:443/proxy");
        assert_eq!(proxy.sni.as_deref(), Some("abc.ests.aks"));
        assert!(matches!(proxy.authority, ProxyAuthority::File(_)));
        for (more, said) in [
            (&all[1..2], "AZURE_KUBERNETES_TOKEN_PROXY is not set"),
            (&[all[0], all[2], (CA_DATA, "x")], "both set"),
            (&[(TOKEN_PROXY, "http://127.0.0.1:1")], "no https URL"),
            (&[(TOKEN_PROXY, "https://u@h/")], "no https URL"),
            (&[all[0], (SNI_NAME, "a/b")], "no name of a host"),
        ] {
            let error = workload(more, PUBLIC).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
