"""Stands in for the module of that name in dom0: takes one call from the command line, prints the answer."""

import sys
import xmlrpc.client


def dispatch(functions):
    (session, args), name = xmlrpc.client.loads(sys.argv[1])
    if name not in functions:
        said = {"Status": "Failure", "ErrorDescription": ["UNKNOWN_XENAPI_PLUGIN_FUNCTION", name]}
    else:
        try:
            said = {"Status": "Success", "Value": functions[name](session, args)}
        except sys.modules["__main__"].GuestFileError as error:
            said = {
                "Status": "Failure",
                "ErrorDescription": ["XENAPI_PLUGIN_FAILURE", name, type(error).__name__, str(error)],
            }
    sys.stdout.write(xmlrpc.client.dumps((said,), methodresponse=True) + "\n")
