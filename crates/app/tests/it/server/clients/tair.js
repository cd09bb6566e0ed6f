// Backs an instance up through the official SDK of Node: `ADDRESS ROOT_JSON INSTANCE`.
const fs = require("fs");
const OpenApi = require("@alicloud/openapi-core");
const tair = require("@alicloud/r-kvstore20150101");
const rds = require("@alicloud/rds20140815");

const [address, rootFile, instanceId] = process.argv.slice(2);
const root = JSON.parse(fs.readFileSync(rootFile));
const config = new OpenApi.$OpenApiUtil.Config({
  accessKeyId: root.access_key_id,
  accessKeySecret: root.access_key_secret,
  endpoint: address,
  protocol: "http",
  regionId: root.region,
});
const client = new tair.default(config);
const check = (condition, what) => {
  if (!condition) throw new Error(JSON.stringify(what));
};

(async () => {
  const created = await client.createBackup(new tair.CreateBackupRequest({ instanceId }));
  const backupJobId = created.body.backupJobID;
  check(typeof backupJobId === "string", created.body);
  const end = Date.now() + 60000;
  for (;;) {
    const request = new tair.DescribeBackupTasksRequest({ instanceId, backupJobId });
    const { body } = await client.describeBackupTasks(request);
    const row = body.backupJobs[0];
    check(row && row.backupJobID === Number(backupJobId) && Date.now() < end, body);
    if (row.backupProgressStatus === "Finished") break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const listed = await client.describeInstances(new tair.DescribeInstancesRequest({ instanceIds: instanceId }));
  check(listed.body.instances.KVStoreInstance[0].instanceId === instanceId, listed.body);
  const databases = await new rds.default(config).describeDBInstances(new rds.DescribeDBInstancesRequest({}));
  check(databases.body.items.DBInstance.length === 0 && databases.body.totalRecordCount === 0, databases.body);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
