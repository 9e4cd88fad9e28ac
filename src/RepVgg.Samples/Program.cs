using RepVgg.Samples.Learning;
using RepVgg.Samples.Workflow;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Images;
using RepVgg.Tool.Workflow;

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
    new("reparameterize", "Shows step by step, on small numbers, how the branches of a block become one convolution.", [], (arguments, _) => ReparameterizeCommand.Run(arguments)),
];

return CommandRunner.Run("RepVGG in ML.NET pipelines: samples.", commands, args, commands[0]);
