// Lists the vaults through pop-core: `ADDRESS ROOT_JSON EXPECTED_COUNT`.
const fs = require("fs");
const { RPCClient } = require("@alicloud/pop-core");

const [address, rootFile, expected] = process.argv.slice(2);
const root = JSON.parse(fs.readFileSync(rootFile));
const client = new RPCClient({
  accessKeyId: root.access_key_id,
  accessKeySecret: root.access_key_secret,
  endpoint: `http://${address}`,
  apiVersion: "2017-09-08",
});

(async () => {
  for (const method of ["GET", "POST"]) {
    const answer = await client.request("DescribeVaults", { PageSize: 5 }, { method });
    if (answer.TotalCount !== Number(expected)) throw new Error(JSON.stringify(answer));
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
