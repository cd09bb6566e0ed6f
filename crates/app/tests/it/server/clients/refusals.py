"""What the server refuses, as the clients tell of it: keys, signatures, clocks, nonces, names and formats."""

import datetime
import json
import sys
import threading
import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree

from aliyunsdkcore.acs_exception.exceptions import ServerException
from aliyunsdkcore.utils import parameter_helper
from alibabacloud_tea_openapi.exceptions import ClientException
from alibabacloud_tea_openapi.utils import Utils
from core import Core
from hbr import client, models


def core_code(core, action="DescribeVaults", params=(), **more):
    """Status and code of a refusal of the old core."""
    try:
        core.raw(action, dict(params), **more)
    except ServerException as error:
        assert error.get_request_id(), error
        return error.get_http_status(), error.get_error_code()
    return None


def tea_code(hbr, **params):
    try:
        hbr.describe_vaults(models.DescribeVaultsRequest(**params))
    except ClientException as error:
        assert error.request_id, error
        return error.status_code, error.code
    return None


# A wrong secret: the old core compares the strings to sign, and says which of the two is wrong.
assert core_code(Core(secret="wrong")) == (400, "InvalidAccessKeySecret")
assert core_code(Core(key_id="nobody")) == (404, "InvalidAccessKeyId.NotFound")
wrong = sys.argv[3]
for signature in ["v3", "v2"]:
    assert tea_code(client(signature, credentials=wrong)) == (400, "SignatureDoesNotMatch"), signature

# Names and values.
core = Core()
assert core_code(core, "DescribeNothing") == (404, "InvalidAction.NotFound")
assert core_code(core, version="2014-01-01") == (400, "InvalidVersion")
assert core_code(core, params={"PageSize": "100"}) == (400, "InvalidParameter.PageSize")
for signature in ["v3", "v2"]:
    assert tea_code(client(signature), page_size=0) == (400, "InvalidParameter.PageSize"), signature
    assert tea_code(client(signature), vault_id="v-nobodys") is None

# Clocks sixteen minutes off; fourteen are nothing.
real_date, real_timestamp = parameter_helper.get_iso_8061_date, Utils.get_timestamp
for minutes, refusal in [(16, (400, "InvalidTimeStamp.Expired")), (-16, (400, "InvalidTimeStamp.Expired")), (14, None)]:
    moment = datetime.datetime.utcnow() + datetime.timedelta(minutes=minutes)
    parameter_helper.get_iso_8061_date = lambda: moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    Utils.get_timestamp = staticmethod(parameter_helper.get_iso_8061_date)
    assert core_code(core) == refusal, minutes
    for signature in ["v3", "v2"]:
        assert tea_code(client(signature)) == refusal, (minutes, signature)
parameter_helper.get_iso_8061_date = lambda: "yesterday"
assert core_code(core) == (400, "InvalidTimeStamp.Format")
parameter_helper.get_iso_8061_date, Utils.get_timestamp = real_date, staticmethod(real_timestamp)

# A nonce used sixteen times at once, and once more: one passes.
real_uuid, real_nonce = parameter_helper.get_uuid, Utils.get_nonce
for kind in ["core", "v3", "v2"]:
    parameter_helper.get_uuid = lambda: f"once-{kind}"
    Utils.get_nonce = staticmethod(parameter_helper.get_uuid)
    ask = (lambda: core_code(Core())) if kind == "core" else (lambda: tea_code(client(kind)))
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(ask())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers, key=str) == [(400, "SignatureNonceUsed")] * 15 + [None], (kind, answers)
    assert ask() == (400, "SignatureNonceUsed"), kind
    # A forger does not burn a nonce.
    parameter_helper.get_uuid = lambda: f"forged-{kind}"
    Utils.get_nonce = staticmethod(parameter_helper.get_uuid)
    assert core_code(Core(secret="wrong")) == (400, "InvalidAccessKeySecret")
    assert ask() is None, kind
parameter_helper.get_uuid, Utils.get_nonce = real_uuid, staticmethod(real_nonce)


# Formats: what is sent when nothing, or nonsense, is asked for.
def bare(query):
    try:
        answer = urllib.request.urlopen(f"http://{sys.argv[1]}/?{query}")
    except urllib.error.HTTPError as error:
        answer = error
    return answer.status, answer.headers["Content-Type"], answer.read().decode()


for query in ["Action=DescribeVaults&Version=2017-09-08", "Format=XML", "Format=None", ""]:
    status, kind, body = bare(query)
    assert (status, kind) == (400, "text/xml;charset=utf-8"), (query, status, kind)
    error = ElementTree.fromstring(body)
    assert error.tag == "Error" and error.find("Success").text == "false", body
    assert all(error.find(name).text for name in ["Code", "Message", "RequestId", "HostId"]), body
for query in ["Format=json", "Format=JSON&Action=DescribeVaults"]:
    status, kind, body = bare(query)
    assert (status, kind) == (400, "application/json;charset=utf-8"), (query, status, kind)
    error = json.loads(body)
    assert error["Success"] is False and error["HostId"] == sys.argv[1], error
    assert all(error[name] for name in ["Code", "Message", "RequestId"]), error
