"""aliyun-python-sdk-core on a server: any operation, GET or POST, JSON or XML. `ADDRESS ROOT_JSON …`."""

import json
import sys
import xml.etree.ElementTree as ElementTree

from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import RpcRequest


class Core:
    def __init__(self, method="POST", form="JSON", key_id=None, secret=None):
        with open(sys.argv[2]) as file:
            root = json.load(file)
        self.method, self.form = method, form
        self.client = AcsClient(key_id or root["access_key_id"], secret or root["access_key_secret"], "cn-hangzhou")

    def raw(self, action, params, version="2017-09-08"):
        """The body as it came; of JSON ServerException where the server refuses."""
        request = RpcRequest("hbr", version, action)
        request.set_endpoint(sys.argv[1])
        request.set_protocol_type("http")
        request.set_method(self.method)
        request.set_accept_format(self.form)
        for name, value in params.items():
            # Of a POST some go into the body.
            add = request.add_body_params if self.method == "POST" and "." in name else request.add_query_param
            add(name, value)
        if self.form != "JSON":
            # Of all calls only this one asks for what it is told to.
            return self.client.do_action(request).decode()
        return self.client.do_action_with_exception(request).decode()

    def call(self, action, **params):
        """The body as dictionaries, lists and texts; `__` in a name is a dot."""
        body = self.raw(action, {name.replace("__", "."): value for name, value in params.items()})
        if self.form == "JSON":
            return json.loads(body)
        root = ElementTree.fromstring(body)
        assert root.tag == f"{action}Response", body
        return plain(root)


def plain(element):
    """An element as a dictionary, or a text where nothing is in it; what is repeated is a list."""
    if not len(element):
        return element.text or ""
    found = {}
    for child in element:
        found.setdefault(child.tag, []).append(plain(child))
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def rows(body, box, name):
    """The rows of a box, which XML may show as none or as one."""
    found = body[box][name] if body[box] else []
    return found if isinstance(found, list) else [found]
