//! What a server leaves half done when it dies, and how the next one ends it.

use lifeboat_catalog::NewVault;
use lifeboat_model::id::{TaskId, VaultId};
use lifeboat_service::Sealer;

use crate::world::{SERVER_KEY, World};

impl World {
    /// The rows of a vault whose server has died before anything was made of them.
    async fn begin_vault(&self, number: u128) -> (VaultId, TaskId) {
        let (id, task) = (VaultId::new(number), TaskId::new(number));
        let new = NewVault {
            id: id.clone(),
            account: self.root.account,
            name: id.to_string(),
            description: String::new(),
            region: "cn-hangzhou".to_owned(),
            redundancy: "LRS".to_owned(),
            is_worm: false,
            password: Sealer::new(SERVER_KEY).seal(&format!("vault {id}"), "secret"),
        };
        let now = self.service.now();
        self.catalog.insert_vault(new, 100, now).await.unwrap();
        self.catalog.insert_task(self.root.account, &task, ("CreateVault", Some(&id)), now).await.unwrap();
        (id, task)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_was_being_made_is_made_by_the_next_server_and_its_task_ends() {
    let world = World::start_stopped().await;
    let good = world.begin_vault(1).await;
    let bad = world.begin_vault(2).await;
    std::fs::write(world.vault_folder(bad.0.as_str()), "a file where the folder should be").unwrap();

    let next = world.restarted().await;
    for ((vault, task), state, progress) in [(good, "CREATED", 100), (bad, "ERROR", -1)] {
        let ended = next
            .until(async || {
                let task = next.ok("DescribeTask", &[("TaskId", task.as_str())]).await;
                (task["Description"] != "created").then_some(task)
            })
            .await;
        assert_eq!(
            (&ended["Description"], &ended["Progress"]),
            (&"completed".into(), &progress.into()),
            "{ended}"
        );
        next.until(async || {
            let found = next.ok("DescribeVaults", &[("VaultId", vault.as_str())]).await;
            (found["Vaults"]["Vault"][0]["Status"] == state).then_some(())
        })
        .await;
    }
}
