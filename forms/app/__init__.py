"""The use cases of forms: deploying definitions, submitting values, asking for both."""
