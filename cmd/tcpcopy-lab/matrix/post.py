# Sends POST requests over 20 connections at once. http.client gives head and
# body to the kernel separately, so that they travel in segments of their own.
import http.client
import sys
import threading

failed = []


def client(number):
    try:
        connection = http.client.HTTPConnection(sys.argv[1])
        for request in range(100):
            connection.request("POST", f"/python/{number}/{request}", body=b"x" * 2000)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                failed.append(answer.status)
        connection.close()
    except Exception as error:
        failed.append(error)


clients = [threading.Thread(target=client, args=(number,)) for number in range(20)]
for thread in clients:
    thread.start()
for thread in clients:
    thread.join()
if failed:
    sys.exit(f"{len(failed)} failures, the first: {failed[0]}")
