"""The parts of the engine that runs ModelScope's UNet face fusion."""
