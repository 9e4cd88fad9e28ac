using RepVgg.Tool.Ablation;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Images;
using RepVgg.Tool.Weights;
using RepVgg.Tool.Workflow;

CommandSpec[] commands =
[
    .. WeightsCommands.All,
    new("search-scales", "Finds the scales of RepOptimizer for a variant on a small set of labelled images.", SearchScalesCommand.CommandLineOptions, SearchScalesCommand.Run),
    new("ablation", "Trains the training forms one after the other and compares their accuracy, speed and size.", AblationCommand.CommandLineOptions, AblationCommand.Run),
    new("pack-data", "Creates the bundled file from the full Fashion-MNIST; the bytes are the same every time.", DataPacker.CommandLineOptions, DataPacker.Run) { IsHidden = true },
];

return CommandRunner.Run("Trains, evaluates and converts RepVGG image classifiers.", commands, args);
