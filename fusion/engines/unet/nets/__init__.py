"""The five networks in torch. Importing a module of this package imports torch and modelscope."""
