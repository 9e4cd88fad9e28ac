using RepVgg.Samples.Ablation;
using RepVgg.Samples.CommandLine;
using RepVgg.Samples.Images;
using RepVgg.Samples.Learning;
using RepVgg.Samples.Weights;
using RepVgg.Samples.Workflow;

CommandSpec[] commands =
[
    new("quickstart", "Trains on the bundled 4,000 images of Fashion-MNIST, evaluates, saves, loads, scores, exports.",
        Recipe.CommandLineOptions, (arguments, interrupt) =>
        {
            var (training, test) = FashionMnist.Bundled();
            return Classification.Run(training, test, Recipe.Quickstart.With(arguments), arguments, interrupt);
        }),
    new("fashion-mnist", "The same on the full Fashion-MNIST: 60,000 training and 10,000 test images.",
        [new("data", "DIR", "folder with the four IDX files, gzip-compressed or not (required)"), .. Recipe.CommandLineOptions], (arguments, interrupt) =>
        {
            var (training, test) = FashionMnist.Full(arguments.Required("data"));
            return Classification.Run(training, test, Recipe.FullSet.With(arguments), arguments, interrupt);
        }),
    new("ablation", "Trains the training forms one after the other and compares their accuracy, speed and size.", AblationCommand.CommandLineOptions, AblationCommand.Run),
    new("search-scales", "Finds the scales of RepOptimizer for a variant on a small set of labelled images.", SearchScalesCommand.CommandLineOptions, SearchScalesCommand.Run),
    new("pack-data", "Creates the bundled file from the full set; the bytes are the same every time.",
        [
            new("data", "DIR", "folder with the four IDX files of Fashion-MNIST (required)"),
            new("out", "FILE", "the zip to write (required)"),
            new("training", "N", "training images, a multiple of 10 (default: 4000)"),
            new("test", "N", "test images, a multiple of 10 (default: 1000)"),
        ], (arguments, interrupt) =>
        {
            string path = Path.GetFullPath(arguments.Required("out"));
            var (training, test) = FashionMnist.Full(arguments.Required("data"));
            int trainingCount = arguments.Integer("training", 10) ?? 4000, testCount = arguments.Integer("test", 10) ?? 1000;
            interrupt.Defer(() => DataPacker.Write(path, training, trainingCount, test, testCount, interrupt.Token));
            Console.WriteLine($"{path}: {Table.Number(new FileInfo(path).Length)} bytes.");
            return 0;
        }),
    .. WeightsCommands.All,
    new("reparameterize", "Shows step by step, on small numbers, how the branches of a block become one convolution.", [], (arguments, _) => ReparameterizeCommand.Run(arguments)),
];

return CommandRunner.Run(commands, args);
