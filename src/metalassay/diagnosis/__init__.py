"""Diagnosis of an environment or an error: doctor, explain, the plan of fixes, and bisect."""
