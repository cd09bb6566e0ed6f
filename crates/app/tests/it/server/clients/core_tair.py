"""aliyun-python-sdk-r-kvstore and -rds on a server: `ADDRESS ROOT_JSON INSTANCE`. Backs the instance up in JSON and XML."""

import json
import sys
import xml.etree.ElementTree as ElementTree

from aliyunsdkcore.client import AcsClient
from aliyunsdkr_kvstore.request.v20150101.CreateBackupRequest import CreateBackupRequest
from aliyunsdkr_kvstore.request.v20150101.DescribeBackupTasksRequest import DescribeBackupTasksRequest
from aliyunsdkrds.request.v20140815.DescribeDBInstancesRequest import DescribeDBInstancesRequest
from hbr import until

with open(sys.argv[2]) as file:
    root = json.load(file)
client = AcsClient(root["access_key_id"], root["access_key_secret"], "cn-hangzhou")
instance = sys.argv[3]


def ask(request, form="JSON"):
    request.set_endpoint(sys.argv[1])
    request.set_protocol_type("http")
    request.set_accept_format(form)
    # Of all calls only `do_action` asks for what it is told to.
    return client.do_action(request).decode() if form != "JSON" else client.do_action_with_exception(request).decode()


def tasks(job, form="JSON"):
    request = DescribeBackupTasksRequest()
    request.set_InstanceId(instance)
    request.add_query_param("BackupJobId", job)
    return ask(request, form)


created = CreateBackupRequest()
created.set_InstanceId(instance)
job = json.loads(ask(created))["BackupJobID"]
look = lambda: json.loads(tasks(job))["BackupJobs"][0]
row = until(look, lambda row: row["BackupProgressStatus"] == "Finished")
assert row["BackupJobID"] == int(job), row
page = ElementTree.fromstring(tasks(job, "XML"))
assert page.tag == "DescribeBackupTasksResponse", page.tag
assert page.find("BackupJobs/BackupJobID").text == job, ElementTree.tostring(page)

# Nothing is asked for: this product answers in XML then.
page = ElementTree.fromstring(ask(DescribeDBInstancesRequest(), None))
assert page.tag == "DescribeDBInstancesResponse" and page.find("Items") is not None, page.tag
