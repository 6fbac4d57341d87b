print("trivet")
