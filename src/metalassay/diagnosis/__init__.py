"""What a user in trouble asks for: doctor, explain, fixes and bisect."""
