"""What drivers import; it stands alone on their path, without this project."""
