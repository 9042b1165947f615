//! The engine that serves the dashboard, with a database of its own.

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::engine::{ADMIN_KEY, Api, Engine, Serve, text};

/// `ringback serve --dev` on a fresh database.
pub(crate) struct Site {
    serve: Serve,
    engine: Engine,
    /// With the key of the organization's owner.
    pub owner: Api,
    // dropped after the engine
    folder: TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::with(|serve| serve.argument("--dev"))
    }

    /// With other settings.
    pub(crate) fn with(settings: impl FnOnce(Serve) -> Serve) -> Self {
        let folder = tempfile::Builder::new().prefix("ringback-site-").tempdir().unwrap();
        let database = format!("sqlite://{}/ringback.db", folder.path().display());
        let serve = settings(Serve::new(folder.path(), &database));
        let engine = serve.start();
        let key = match greeted(&engine, "owner key") {
            Some(key) => key,
            None => {
                let admin = engine.api(ADMIN_KEY);
                let made = admin.post("/v1/organizations", &json!({"name": "Initech"})).expect(201).json();
                make_key(&admin, text(&made, "id"), "owner")
            }
        };
        Self { owner: engine.api(&key), serve, engine, folder }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.engine.address())
    }

    /// The address that signs in whoever opens it first.
    pub(crate) fn link(&self) -> String {
        let said = greeted(&self.engine, "dashboard").unwrap();
        said.split_whitespace().next().unwrap().to_owned()
    }

    /// With the deployment's key.
    pub(crate) fn admin(&self) -> Api {
        self.engine.api(ADMIN_KEY)
    }

    /// The id of the owner's organization.
    pub(crate) fn organization(&self) -> String {
        let all = self.admin().get("/v1/organizations").expect(200).json();
        text(&all["data"][0], "id").to_owned()
    }

    /// Another key of the owner's organization.
    pub(crate) fn key(&self, role: &str) -> String {
        make_key(&self.owner, &self.organization(), role)
    }

    /// Adds a webhook; its id.
    pub(crate) fn webhook(&self, settings: &Value) -> String {
        let made = self.owner.post("/v1/webhooks", settings).expect(201).json();
        text(&made, "id").to_owned()
    }

    /// Publishes an event; its id.
    pub(crate) fn publish(&self, event_type: &str, data: &Value) -> String {
        let event = json!({"event_type": event_type, "data": data});
        let taken = self.owner.post("/v1/events", &event).expect(202).json();
        text(&taken, "id").to_owned()
    }

    /// What the engine has written into its log.
    pub(crate) fn log(&self) -> String {
        self.engine.log()
    }

    /// Stops the engine.
    pub(crate) fn stop(&mut self) {
        self.engine.kill();
    }

    /// Lets it come to its end by itself: what it was about to write is written.
    pub(crate) fn end(&mut self) {
        self.engine.terminate();
        self.engine.end();
    }

    /// Starts it again where it was.
    pub(crate) fn start_again(&mut self) {
        let address = self.engine.address().to_string();
        let serve = self.serve.clone().set("RINGBACK_LISTEN", &address);
        self.engine.restart(&serve);
    }

    /// Where the database is.
    pub(crate) fn database(&self) -> String {
        self.folder.path().join("ringback.db").display().to_string()
    }
}

fn greeted(engine: &Engine, name: &str) -> Option<String> {
    let line = engine.greeting.iter().find_map(|line| line.trim_start().strip_prefix(name))?;
    Some(line.trim().to_owned())
}

fn make_key(api: &Api, organization: &str, role: &str) -> String {
    let wanted = json!({"name": format!("the {role}"), "role": role});
    let made = api.post(&format!("/v1/organizations/{organization}/keys"), &wanted).expect(201).json();
    text(&made, "key").to_owned()
}
