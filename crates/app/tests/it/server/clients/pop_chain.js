// Vault, plan, job, snapshot, a look inside, restore through pop-core: `ADDRESS ROOT_JSON METHOD SOURCE TARGET`.
const assert = require("assert");
const fs = require("fs");
const { RPCClient } = require("@alicloud/pop-core");

const [address, rootFile, method, source, target] = process.argv.slice(2);
const root = JSON.parse(fs.readFileSync(rootFile));
const client = new RPCClient({
  accessKeyId: root.access_key_id,
  accessKeySecret: root.access_key_secret,
  endpoint: `http://${address}`,
  apiVersion: "2017-09-08",
});
const call = (action, params) => client.request(action, params, { method });
const ENDED = ["COMPLETE", "PARTIAL_COMPLETE", "FAILED", "CANCELED", "EXPIRED", "UNAVAILABLE"];

async function until(look, isEnough) {
  const end = Date.now() + 60_000;
  for (;;) {
    const seen = await look();
    if (isEnough(seen)) return seen;
    assert(Date.now() < end, `still ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

(async () => {
  const name = `pop ${method} ä*~/+'()!`;
  const made = await call("CreateVault", { VaultName: name, VaultRegionId: "cn-hangzhou" });
  const vaults = async () => (await call("DescribeVaults", { VaultId: made.VaultId })).Vaults.Vault;
  const [vault] = await until(vaults, (found) => found[0].Status === "CREATED");
  assert.strictEqual(vault.VaultName, name);

  const [machine] = (await call("DescribeBackupClients", { ClientType: "ECS_CLIENT" })).Clients;
  const plan = await call("CreateBackupPlan", {
    SourceType: "ECS_FILE",
    PlanName: "documents",
    VaultId: made.VaultId,
    InstanceId: machine.InstanceId,
    Schedule: "I|1602673264|P1D",
    Retention: 7,
    Path: [source],
  });
  const { JobId } = await call("ExecuteBackupPlan", { PlanId: plan.PlanId });
  const filters = (Key, value) => ({ Filters: [{ Key, Values: [value] }], SourceType: "" });
  const backups = async () => (await call("DescribeBackupJobs2", filters("JobId", JobId))).BackupJobs.BackupJob;
  const [job] = await until(backups, (rows) => ENDED.includes(rows[0].Status));
  assert.deepStrictEqual([job.Status, job.Progress, job.PlanId], ["COMPLETE", 10000, plan.PlanId]);

  const term = (field, value) => ({ field, operation: "MATCH_TERM", value });
  const query = [term("VaultId", made.VaultId), term("InstanceId", machine.InstanceId), term("JobId", JobId)];
  const found = await call("SearchHistoricalSnapshots", { SourceType: "ECS_FILE", Query: JSON.stringify(query) });
  const [snapshot] = found.Snapshots.Snapshot;

  const here = { VaultId: made.VaultId, SnapshotHash: snapshot.SnapshotHash };
  const inside = await call("BrowseFiles", { ...here, AbsolutePath: source, MaxResults: 100 });
  assert.deepStrictEqual(inside.Nodes.Node.map((node) => node.Name), fs.readdirSync(source).sort());

  const { RestoreId } = await call("CreateRestoreJob", {
    ...here,
    RestoreType: "ECS_FILE",
    SourceType: "ECS_FILE",
    SnapshotId: snapshot.SnapshotId,
    TargetInstanceId: machine.InstanceId,
    TargetPath: target,
  });
  const restores = async () => (await call("DescribeRestoreJobs2", filters("RestoreId", RestoreId))).RestoreJobs.RestoreJob;
  const [restore] = await until(restores, (rows) => ENDED.includes(rows[0].Status));
  assert.deepStrictEqual([restore.Status, restore.Progress], ["COMPLETE", 10000]);

  await assert.rejects(call("DescribeVaults", { PageSize: 100 }), { code: "InvalidParameter.PageSize" });
  await assert.rejects(call("DescribeNothing", {}), { code: "InvalidAction.NotFound" });
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
