//! Which operations there are: one row each. What serves requests, writes the document and tests them reads it here.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use http::{Method, StatusCode};
use schemars::{Schema, SchemaGenerator};

use super::{
    Answer, Call, List, Nothing, access, clients, jobs, plans, policies, protected, resources, restores,
    snapshots, vaults,
};
use crate::alibaba::WireError;

type Ran<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;
type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One operation.
pub(super) struct Route {
    pub(super) method: Method,
    /// Below the prefix; parts in braces are ids.
    pub(super) path: &'static str,
    /// What the caller must be allowed to do, all of it; the name of the first is signed.
    pub(super) actions: &'static [&'static str],
    pub(super) summary: &'static str,
    pub(super) query: &'static [Field],
    pub(super) body: SchemaOf,
    pub(super) answer: SchemaOf,
    pub(super) run: for<'a> fn(Call<'a>) -> Ran<'a>,
}

/// A parameter of a query.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) about: &'static str,
}

const fn field(name: &'static str, about: &'static str) -> Field {
    Field { name, kind: "string", about }
}

const PAGE: Field = Field { name: "page", kind: "integer", about: "Which page, from 1" };
const PAGE_SIZE: Field =
    Field { name: "page_size", kind: "integer", about: "Rows of a page, 1 to 1000; 100 by default" };

const NONE: &[Field] = &[];
const VAULTS: &[Field] = &[PAGE, PAGE_SIZE, field("name", "Only vaults of this name")];
const PLANS: &[Field] = &[PAGE, PAGE_SIZE, field("vault_id", "Only plans into this vault")];
const JOBS: &[Field] = &[
    PAGE,
    PAGE_SIZE,
    field("vault_id", "Only jobs of this vault"),
    field("plan_id", "Only jobs of this plan"),
    field("state", "Only jobs in this state, such as RUNNING"),
];
const KEYS: &[Field] = &[field("user", "Only keys of this user")];
const RESOURCES: &[Field] = &[PAGE, PAGE_SIZE, field("kind", "Only of this kind: database or redis")];
const PAGES: &[Field] = &[PAGE, PAGE_SIZE];

/// `method path [actions] (query) handler(Body) -> Answer, summary`
macro_rules! routes {
    ($($method:ident $path:literal [$($action:literal),+] ($query:expr) $handler:path[$body:ty] -> $answer:ty, $summary:literal;)*) => {
        &[$(Route {
            method: Method::$method,
            path: $path,
            actions: &[$($action),+],
            summary: $summary,
            query: $query,
            body: |generator| generator.subschema_for::<$body>(),
            answer: |generator| generator.subschema_for::<$answer>(),
            run: |call| {
                Box::pin(async move {
                    let body: $body = call.body()?;
                    let answer: $answer = $handler(&call, body).await?;
                    serde_json::to_value(answer).map_err(|_| WireError::internal())
                })
            },
        }),*]
    };
}

pub(super) static ROUTES: &[Route] = routes! {
    POST "/vaults" ["hbr:CreateVault"] (NONE) vaults::create[vaults::NewVault] -> vaults::CreatedVault,
        "Begin to make a vault; the task tells when it is there";
    GET "/vaults" ["hbr:DescribeVaults"] (VAULTS) vaults::list[Nothing] -> List<vaults::Vault>, "List vaults, oldest first";
    GET "/vaults/{vault}" ["hbr:DescribeVaults"] (NONE) vaults::show[Nothing] -> vaults::Vault, "Show a vault";
    DELETE "/vaults/{vault}" ["hbr:DeleteVault"] (NONE) vaults::delete[Nothing] -> vaults::Deleted,
        "Begin to delete a vault with its plans, its jobs and all that is in it";
    GET "/vaults/{vault}/snapshots" ["hbr:SearchHistoricalSnapshots"] (PAGES)
        snapshots::list[Nothing] -> List<snapshots::Snapshot>, "List the snapshots in a vault, newest first";
    GET "/tasks/{task}" ["hbr:DescribeTask"] (NONE) vaults::task[Nothing] -> vaults::Task,
        "Show how far something is that goes on beside its request";
    POST "/plans" ["hbr:CreateBackupPlan"] (NONE) plans::create[plans::NewPlan] -> plans::CreatedPlan, "Make a plan";
    GET "/plans" ["hbr:DescribeBackupPlans"] (PLANS) plans::list[Nothing] -> List<plans::Plan>, "List plans, newest first";
    GET "/plans/{plan}" ["hbr:DescribeBackupPlans"] (NONE) plans::show[Nothing] -> plans::Plan, "Show a plan";
    DELETE "/plans/{plan}" ["hbr:DeleteBackupPlan"] (NONE) plans::delete[Nothing] -> Nothing,
        "Delete a plan; its jobs and snapshots stay";
    POST "/plans/{plan}/enable" ["hbr:EnableBackupPlan"] (NONE) plans::enable[Nothing] -> plans::Plan,
        "Let a plan run by itself";
    POST "/plans/{plan}/disable" ["hbr:DisableBackupPlan"] (NONE) plans::disable[Nothing] -> plans::Plan,
        "Let a plan run only when it is told to";
    POST "/plans/{plan}/execute" ["hbr:ExecuteBackupPlan"] (NONE) plans::execute[Nothing] -> plans::StartedJob,
        "Run a plan now";
    POST "/policies" ["hbr:CreatePolicyV2"] (NONE) policies::create[policies::NewPolicy] -> policies::CreatedPolicy,
        "Make a backup policy";
    GET "/policies" ["hbr:DescribePoliciesV2"] (NONE) policies::list[Nothing] -> List<policies::Policy>,
        "List backup policies, a thousand at most";
    GET "/policies/{policy}" ["hbr:DescribePoliciesV2"] (NONE) policies::show[Nothing] -> policies::Policy,
        "Show a backup policy";
    DELETE "/policies/{policy}" ["hbr:DeletePolicyV2"] (NONE) policies::delete[Nothing] -> Nothing,
        "Delete a backup policy; its jobs and snapshots stay";
    POST "/policies/{policy}/execute" ["hbr:ExecutePolicyV2"] (NONE)
        policies::execute[policies::ExecutePolicy] -> plans::StartedJob, "Run a rule now, for all its sources";
    POST "/policies/{policy}/bindings" ["hbr:CreatePolicyBindings"] (NONE)
        policies::bind[policies::NewBinding] -> Nothing, "Put folders of a machine under a policy";
    GET "/policies/{policy}/bindings" ["hbr:DescribePolicyBindings"] (NONE)
        policies::bindings[Nothing] -> List<policies::Binding>, "List what is under a policy, a thousand at most";
    DELETE "/policies/{policy}/bindings/{source}" ["hbr:DeletePolicyBinding"] (NONE)
        policies::unbind[Nothing] -> Nothing, "Take a machine out of a policy";
    GET "/jobs" ["hbr:DescribeBackupJobs2", "hbr:DescribeRestoreJobs2"] (JOBS) jobs::list[Nothing] -> List<jobs::Job>,
        "List jobs of every kind, newest first";
    GET "/jobs/{job}" ["hbr:DescribeBackupJobs2", "hbr:DescribeRestoreJobs2"] (NONE) jobs::show[Nothing] -> jobs::Job,
        "Show a job of any kind";
    POST "/jobs/{job}/cancel" ["hbr:CancelBackupJob"] (NONE) jobs::cancel[Nothing] -> jobs::Job,
        "Ask a job that is no restore to stop";
    POST "/restore-jobs" ["hbr:CreateRestoreJob"] (NONE) restores::create[restores::NewRestore] -> restores::CreatedRestore,
        "Restore files of a snapshot";
    GET "/restore-jobs" ["hbr:DescribeRestoreJobs2"] (JOBS) restores::list[Nothing] -> List<jobs::Job>,
        "List restore jobs, newest first";
    GET "/restore-jobs/{restore}" ["hbr:DescribeRestoreJobs2"] (NONE) restores::show[Nothing] -> jobs::Job,
        "Show a restore job";
    POST "/restore-jobs/{restore}/cancel" ["hbr:CancelRestoreJob"] (NONE) restores::cancel[Nothing] -> jobs::Job,
        "Ask a restore job to stop";
    GET "/clients" ["hbr:DescribeBackupClients"] (NONE) clients::list[Nothing] -> List<clients::Client>,
        "List the machines whose files can be backed up";
    GET "/protected-resources" ["hbr:ListProtectedResources"] (NONE)
        protected::list[Nothing] -> List<protected::ProtectedResource>, "List what is backed up, or once was";
    POST "/resources" ["lifeboat:CreateResource"] (NONE) resources::create[resources::NewResource] -> resources::Resource,
        "Add a database or a Redis server, so that it can be backed up";
    GET "/resources" ["lifeboat:ListResources"] (RESOURCES) resources::list[Nothing] -> List<resources::Resource>,
        "List databases and Redis servers, oldest first";
    GET "/resources/{resource}" ["lifeboat:GetResource"] (NONE) resources::show[Nothing] -> resources::Resource,
        "Show a database or a Redis server";
    POST "/resources/{resource}/test" ["lifeboat:TestResource"] (NONE)
        resources::test[Nothing] -> resources::ResourceTest, "Connect, and tell what is missing for backups";
    DELETE "/resources/{resource}" ["lifeboat:DeleteResource"] (NONE) resources::remove[Nothing] -> Nothing,
        "Forget a database or a Redis server; its backups stay";
    POST "/accounts" ["ram:CreateAccount"] (NONE) access::create_account[access::NewAccount] -> access::Credentials,
        "Make an account, with a key of its own";
    GET "/accounts" ["ram:ListAccounts"] (NONE) access::accounts[Nothing] -> List<access::Account>, "List accounts";
    POST "/users" ["ram:CreateUser"] (NONE) access::create_user[access::NewUser] -> access::User, "Make a user";
    GET "/users" ["ram:ListUsers"] (NONE) access::users[Nothing] -> List<access::User>, "List users";
    DELETE "/users/{user}" ["ram:DeleteUser"] (NONE) access::delete_user[Nothing] -> Nothing,
        "Remove a user, his keys and what is attached to him";
    POST "/users/{user}/documents" ["ram:AttachPolicyToUser"] (NONE) access::attach_to_user[access::NewDocument] -> Nothing,
        "Attach a policy document to a user";
    GET "/users/{user}/documents" ["ram:ListPoliciesForUser"] (NONE) access::of_user[Nothing] -> List<access::Document>,
        "List the documents attached to a user";
    DELETE "/users/{user}/documents/{document}" ["ram:DetachPolicyFromUser"] (NONE)
        access::detach_from_user[Nothing] -> Nothing, "Take a document away from a user";
    POST "/access-keys" ["ram:CreateAccessKey"] (NONE) access::create_key[access::NewAccessKey] -> access::Credentials,
        "Make an access key; its secret is told once";
    GET "/access-keys" ["ram:ListAccessKeys"] (KEYS) access::keys[Nothing] -> List<access::AccessKey>, "List access keys";
    POST "/access-keys/{access_key}/enable" ["ram:UpdateAccessKey"] (NONE) access::enable_key[Nothing] -> Nothing,
        "Let an access key work again";
    POST "/access-keys/{access_key}/disable" ["ram:UpdateAccessKey"] (NONE) access::disable_key[Nothing] -> Nothing,
        "Let an access key no longer work";
    DELETE "/access-keys/{access_key}" ["ram:DeleteAccessKey"] (NONE) access::delete_key[Nothing] -> Nothing,
        "Remove an access key";
    POST "/roles" ["ram:CreateRole"] (NONE) access::create_role[access::NewRole] -> Nothing, "Make a role";
    GET "/roles" ["ram:ListRoles"] (NONE) access::roles[Nothing] -> List<access::Role>, "List roles";
    DELETE "/roles/{role}" ["ram:DeleteRole"] (NONE) access::delete_role[Nothing] -> Nothing, "Remove a role";
    POST "/roles/{role}/documents" ["ram:AttachPolicyToRole"] (NONE) access::attach_to_role[access::NewDocument] -> Nothing,
        "Attach a policy document to a role";
    GET "/roles/{role}/documents" ["ram:ListPoliciesForRole"] (NONE) access::of_role[Nothing] -> List<access::Document>,
        "List the documents attached to a role";
    DELETE "/roles/{role}/documents/{document}" ["ram:DetachPolicyFromRole"] (NONE)
        access::detach_from_role[Nothing] -> Nothing, "Take a document away from a role";
    GET "/audit" ["ram:ListAuditRecords"] (PAGES) access::audit[Nothing] -> List<access::AuditRecord>,
        "List what was done and refused, newest first";
};

/// Method, path and signed action of each operation.
pub fn operations() -> impl Iterator<Item = (&'static Method, &'static str, &'static str)> {
    ROUTES.iter().map(|route| (&route.method, route.path, route.action()))
}

impl Route {
    /// The route of a path below the prefix, and the ids in that path.
    pub(super) fn find(
        method: &Method,
        path: &str,
    ) -> Result<(&'static Self, BTreeMap<&'static str, String>), WireError> {
        let of_path: Vec<_> = ROUTES.iter().filter_map(|route| Some((route, route.ids(path)?))).collect();
        if of_path.is_empty() {
            let what = format!("There is nothing at {}{path}; see {0}/openapi.json.", super::PREFIX);
            return Err(WireError::not_found("InvalidApi.NotFound", what));
        }
        let methods: Vec<_> = of_path.iter().map(|(route, _)| route.method.as_str()).collect();
        let what = format!("The method {method} does not go with this path; {} does.", methods.join(" or "));
        let refused = WireError::new(StatusCode::METHOD_NOT_ALLOWED, "InvalidMethod", what);
        of_path.into_iter().find(|(route, _)| route.method == method).ok_or(refused)
    }

    fn ids(&self, path: &str) -> Option<BTreeMap<&'static str, String>> {
        let (ours, theirs) = (self.path.split('/'), path.split('/'));
        if ours.clone().count() != theirs.clone().count() {
            return None;
        }
        let mut ids = BTreeMap::new();
        for (ours, theirs) in ours.zip(theirs) {
            match ours.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) => drop(ids.insert(name, theirs.to_owned())),
                None if ours == theirs => {}
                None => return None,
            }
        }
        Some(ids)
    }

    /// The name that is signed.
    pub(super) fn action(&self) -> &'static str {
        let first = self.actions.first().copied().unwrap_or_default();
        first.split_once(':').map_or(first, |(_, name)| name)
    }

    pub(super) fn takes(&self, parameter: &str) -> bool {
        self.query.iter().any(|field| field.name == parameter)
    }
}
