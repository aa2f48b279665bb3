//! Where the credential comes from.

use std::ffi::OsString;
use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};
use std::{env, fmt};

use super::identity::IdentitySource;
use super::token::Token;
use crate::{ContainerUrl, Error, ErrorKind};

/// The variable that names the SAS token's file.
const FILE_VARIABLE: &str = "AZURE_STORAGE_SAS_TOKEN_FILE";
/// The variable that holds the SAS token.
const VARIABLE: &str = "AZURE_STORAGE_SAS_TOKEN";
/// The variable that says which kind of credential is to be used.
const AUTH_VARIABLE: &str = "AZURE_STORAGE_AUTH";
/// No token is longer. The name may lead to something that never ends.
const LONGEST: usize = 64 << 10;

/// The variables that a credential is read from. A child gets them only if it needs a store too.
pub const CREDENTIAL_VARIABLES: [&str; 12] = [
    VARIABLE,
    FILE_VARIABLE,
    AUTH_VARIABLE,
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_AUTHORITY_HOST",
    "AZURE_KUBERNETES_TOKEN_PROXY",
    "AZURE_KUBERNETES_SNI_NAME",
    "AZURE_KUBERNETES_CA_FILE",
    "AZURE_KUBERNETES_CA_DATA",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
];

/// Where the credential comes from: a SAS token, or an identity whose bearer tokens Microsoft Entra ID gives out.
#[derive(Debug, Clone)]
pub enum CredentialSource {
    /// A file with a SAS token, read again when a request is refused and the file has changed.
    SasFile(PathBuf),
    /// A SAS token, and where it stood.
    Sas(Token, SasOrigin),
    /// An identity.
    Identity(IdentitySource),
}

/// Where a SAS token stood that is no file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SasOrigin {
    /// `AZURE_STORAGE_SAS_TOKEN`.
    Variable,
    /// The URL's query.
    Url,
    /// The program has it from elsewhere.
    Caller,
}

/// The value of a variable; none if it is not set, or empty.
type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl CredentialSource {
    /// `AZURE_STORAGE_SAS_TOKEN_FILE`, else `AZURE_STORAGE_SAS_TOKEN`, else the URL's own query, else the workload
    /// identity that `AZURE_FEDERATED_TOKEN_FILE`, `AZURE_CLIENT_ID` and `AZURE_TENANT_ID` name. `AZURE_STORAGE_AUTH`
    /// asks for one kind: `sas`, `workload-identity`, or `managed-identity`, which is used only when asked for.
    /// An empty variable counts as unset.
    ///
    /// # Errors
    /// None of them is there, or it cannot be understood.
    pub fn find(query: Option<&str>, container: &ContainerUrl) -> Result<Self, Error> {
        Self::find_in(&|name| env::var_os(name), query, container)
    }

    /// As [`find`](Self::find), with these variables instead of the environment's.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn find_in(
        variables: &dyn Fn(&str) -> Option<OsString>,
        query: Option<&str>,
        container: &ContainerUrl,
    ) -> Result<Self, Error> {
        let set = |name: &str| variables(name).filter(|value| !value.is_empty());
        let wanted = set(AUTH_VARIABLE).map(|value| value.to_string_lossy().into_owned());
        match wanted.as_deref() {
            None => {
                if let Some(sas) = sas(&set, query)? {
                    return Ok(sas);
                }
                let identity = IdentitySource::workload_if_named(&set, container)?;
                identity.map(Self::Identity).ok_or_else(nothing)
            }
            Some("sas") => sas(&set, query)?.ok_or_else(|| {
                no_sas().hint(format!(
                    "{AUTH_VARIABLE}=sas asks for one: set {FILE_VARIABLE} or {VARIABLE}"
                ))
            }),
            Some("workload-identity") => {
                IdentitySource::workload(&set, container).map(Self::Identity)
            }
            Some("managed-identity") => IdentitySource::managed(&set).map(Self::Identity),
            Some(other) => Err(Error::new(
                ErrorKind::Usage,
                format!("{AUTH_VARIABLE} is '{}'", other.escape_debug()),
            )
            .hint("it may be sas, workload-identity or managed-identity")),
        }
    }
}

impl From<Token> for CredentialSource {
    fn from(token: Token) -> Self {
        Self::Sas(token, SasOrigin::Caller)
    }
}

/// What a refusal says was used.
impl fmt::Display for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SasFile(path) => write!(f, "the SAS token in '{}'", path.display()),
            Self::Sas(_, SasOrigin::Variable) => write!(f, "the SAS token in {VARIABLE}"),
            Self::Sas(_, SasOrigin::Url) => f.write_str("the SAS token in the URL"),
            Self::Sas(_, SasOrigin::Caller) => f.write_str("the SAS token"),
            Self::Identity(identity) => write!(f, "the {identity}"),
        }
    }
}

fn sas(set: Variables<'_>, query: Option<&str>) -> Result<Option<CredentialSource>, Error> {
    if let Some(path) = set(FILE_VARIABLE) {
        return Ok(Some(CredentialSource::SasFile(path.into())));
    }
    if let Some(token) = set(VARIABLE) {
        let token = Token::parse(&token.to_string_lossy());
        let token = token.map_err(|error| error.within(VARIABLE))?;
        return Ok(Some(CredentialSource::Sas(token, SasOrigin::Variable)));
    }
    let token = query.map(Token::parse).transpose()?;
    Ok(token.map(|token| CredentialSource::Sas(token, SasOrigin::Url)))
}

fn no_sas() -> Error {
    Error::new(ErrorKind::Token, "there is no SAS token")
}

fn nothing() -> Error {
    no_sas().and(" and no identity").hint(format!(
        "set {FILE_VARIABLE} or {VARIABLE}, give the pod a workload identity (label azure.workload.identity/use), or ask for this machine's with {AUTH_VARIABLE}=managed-identity"
    ))
}

/// The SAS token in a file.
pub(super) fn read_file(path: &Path) -> Result<Token, Error> {
    let path_shown = path.display();
    let bytes = job::read_any(path, LONGEST).map_err(|error| {
        let doing = format_args!("cannot read the SAS token '{path_shown}'");
        let said = job::Error::io(doing, &error).to_string();
        Error::new(ErrorKind::Token, said).hint(match error.kind() {
            Io::FileTooLarge => format!("{FILE_VARIABLE} names a file with a token alone"),
            _ => format!("{FILE_VARIABLE} names that file"),
        })
    })?;
    let text = String::from_utf8(bytes).map_err(|_| {
        let said = format!("'{path_shown}': the SAS token is no text in UTF-8");
        Error::new(ErrorKind::Token, said)
            .hint("PowerShell's > may write UTF-16: Set-Content -Encoding ascii does not")
    })?;
    Token::parse(&text).map_err(|error| error.within(format_args!("'{path_shown}'")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const PLAIN: &str = "se=2026-01-01&sr=c&sp=cw&sig=ab%2Bcd%3D";
    const WORKLOAD: [(&str, &str); 3] = [
        ("AZURE_FEDERATED_TOKEN_FILE", "/var/run/token"),
        ("AZURE_CLIENT_ID", "client"),
        ("AZURE_TENANT_ID", "tenant"),
    ];

    #[test]
    fn what_is_no_token_is_said_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let utf16: Vec<u8> = PLAIN.encode_utf16().flat_map(u16::to_le_bytes).collect();
        fs::write(&path, [b"\xff\xfe".as_slice(), &utf16].concat()).unwrap();
        let said = read_file(&path).unwrap_err().to_string();
        assert!(said.contains("UTF-8"), "{said}");
        let said = read_file(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(said.contains("it is longer than 64.00 KiB"), "{said}");
        fs::write(&path, format!("\u{feff}{PLAIN}\r\n")).unwrap();
        assert_eq!(read_file(&path).unwrap(), Token::parse(PLAIN).unwrap());
    }

    /// What is found, or the error with its hint.
    fn found(set: &[(&str, &str)], query: Option<&str>) -> Result<String, String> {
        let (container, _) =
            ContainerUrl::parse("https://acc.blob.core.windows.net/backups").unwrap();
        let variables = |name: &str| {
            let found = set.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let found = CredentialSource::find_in(&variables, query, &container);
        found.map(|source| source.to_string()).map_err(|error| {
            let hint = error.hint_text().unwrap_or_default();
            format!("{error}; {hint}")
        })
    }

    #[test]
    fn a_sas_comes_before_an_identity() {
        let file = ("AZURE_STORAGE_SAS_TOKEN_FILE", "/run/token");
        let variable = ("AZURE_STORAGE_SAS_TOKEN", PLAIN);
        let [token, client, tenant] = WORKLOAD;
        let all = [file, variable, token, client, tenant];
        for (from, query, wanted) in [
            (0, Some(PLAIN), "the SAS token in '/run/token'"),
            (1, Some(PLAIN), "the SAS token in AZURE_STORAGE_SAS_TOKEN"),
            (2, Some(PLAIN), "the SAS token in the URL"),
            (2, None, "the workload identity 'client'"),
        ] {
            assert_eq!(found(&all[from..], query).as_deref(), Ok(wanted));
        }
        let error = found(&[], None).unwrap_err();
        for said in ["no SAS token", "no identity", "AZURE_STORAGE_AUTH"] {
            assert!(error.contains(said), "{error}");
        }
        // An empty variable is none.
        let empty = [("AZURE_STORAGE_SAS_TOKEN_FILE", ""), variable];
        assert!(found(&empty, None).unwrap().ends_with("SAS_TOKEN"));
    }

    #[test]
    fn one_kind_may_be_asked_for() {
        let with = |auth: &'static str, more: &[(&'static str, &'static str)]| {
            let mut set = vec![("AZURE_STORAGE_AUTH", auth)];
            set.extend(more);
            set
        };
        let workload = with("workload-identity", &WORKLOAD);
        let wanted = "the workload identity 'client'";
        assert_eq!(found(&workload, Some(PLAIN)).as_deref(), Ok(wanted));
        let error = found(&with("sas", &WORKLOAD), None).unwrap_err();
        assert!(error.contains("AZURE_STORAGE_AUTH=sas"), "{error}");
        let managed = with("managed-identity", &WORKLOAD);
        let wanted = "the managed identity 'client'";
        assert_eq!(found(&managed, Some(PLAIN)).as_deref(), Ok(wanted));
        let managed = with("managed-identity", &[]);
        let wanted = "the managed identity of this machine";
        assert_eq!(found(&managed, None).as_deref(), Ok(wanted));
        for other in ["key", "SAS", "login", "x\u{1b}[m"] {
            let error = found(&with(other, &WORKLOAD), Some(PLAIN)).unwrap_err();
            assert!(error.contains("workload-identity or managed"), "{error}");
            assert!(!error.contains('\u{1b}'), "{error}");
        }
    }

    #[test]
    fn a_half_named_identity_is_said() {
        for (missing, _) in &WORKLOAD[1..] {
            let set = WORKLOAD.iter().filter(|(name, _)| name != missing);
            let set: Vec<_> = set.copied().collect();
            let error = found(&set, None).unwrap_err();
            assert!(error.contains(missing), "{error}");
        }
        let error = found(&WORKLOAD[1..], None).unwrap_err();
        assert!(error.contains("no identity"), "{error}");
        let asked = [("AZURE_STORAGE_AUTH", "workload-identity")];
        let error = found(&asked, None).unwrap_err();
        for (name, _) in WORKLOAD {
            assert!(error.contains(name), "{error}");
        }
        assert!(error.contains("azure.workload.identity/use"), "{error}");
    }

    #[test]
    fn no_child_gets_what_a_credential_is_read_from() {
        for name in CREDENTIAL_VARIABLES {
            assert!(job::secret::VARIABLES.contains(&name), "{name}");
        }
    }
}
