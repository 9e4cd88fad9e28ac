using System.Reflection;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>The environment behind a context: logging, seeds, options, and the way to it from a catalog.</summary>
public sealed class EnvironmentTests
{
    [Fact]
    public void TrainersCatalogsHaveAnEnvironmentBehindAnInternalInterface()
    {
        MLContext context = new(1);
        object trainers = context.MulticlassClassification.Trainers;
        Type contract = trainers.GetType().GetInterfaces().Single(type => type.Name == "IInternalCatalog");
        PropertyInfo property = contract.GetProperty("Environment")!;
        List<LoggingEventArgs> log = [];
        context.Log += (_, message) => log.Add(message);

        IHostEnvironment environment = Assert.IsAssignableFrom<IHostEnvironment>(property.GetValue(trainers));
        using (IChannel channel = environment.Register("Mine").Start("Work"))
        {
            channel.Info(MessageSensitivity.None, "hello");
        }

        Assert.False(contract.IsPublic);
        Assert.Contains(log, message => message.RawMessage == "hello");
        Assert.NotNull(environment.ComponentCatalog);
        Assert.Same(environment.ComponentCatalog, context.ComponentCatalog);
    }

    [Fact]
    public void MessagesReachTheLogWithSourceAndKind()
    {
        MLContext context = new(1);
        List<LoggingEventArgs> log = [];
        context.Log += (sender, message) =>
        {
            Assert.Same(context, sender);
            log.Add(message);
        };
        IHost host = ((IHostEnvironment)context).Register("Outer").Register("Inner");
        using (IChannel channel = host.Start("Work"))
        {
            channel.Trace(MessageSensitivity.None, "t {0}", 1);
            channel.Info(MessageSensitivity.None, "i {not a format}");
            channel.Warning(MessageSensitivity.UserData, "w {0} {1}", "a", 2);
            channel.Error(MessageSensitivity.Schema, "e");
        }

        Assert.Equal("Channel started", log[0].RawMessage);
        Assert.StartsWith("Channel finished. Elapsed 00:", log[^2].RawMessage);
        Assert.Equal("Channel disposed", log[^1].RawMessage);
        log = log[1..^2];
        Assert.Equal(["t 1", "i {not a format}", "w a 2", "e"], log.Select(message => message.RawMessage));
        Assert.Equal(
            [ChannelMessageKind.Trace, ChannelMessageKind.Info, ChannelMessageKind.Warning, ChannelMessageKind.Error],
            log.Select(message => message.Kind));
        Assert.All(log, message => Assert.Equal("Inner; Work", message.Source));
        Assert.Equal($"[Source={log[1].Source}, Kind=Info] i {{not a format}}", log[1].Message);
        Assert.Equal("plain", new LoggingEventArgs("plain").Message);
    }

    [Fact]
    public void ContextsCanStartChannelsThemselves()
    {
        MLContext context = new();
        List<string> sources = [];
        context.Log += (_, message) =>
        {
            if (message.Kind != ChannelMessageKind.Trace)
            {
                sources.Add(message.Source);
            }
        };

        using (IChannel channel = ((IChannelProvider)context).Start("Direct"))
        {
            channel.Info(MessageSensitivity.None, "x");
        }

        IHost host = ((IHostEnvironment)context).Register("Host");
        foreach (IHost sender in new[] { host, host.Register("Second"), host.Register("Second").Register("Third") })
        {
            using IChannel channel = sender.Start("Work");
            channel.Info(MessageSensitivity.None, "x");
        }

        // A name begins with that of the parent's parent.
        Assert.Equal(["Direct", "Host; Work", "Second; Work", "Host; Third; Work"], sources);
    }

    [Fact]
    public void ProgressIsAcceptedAndDoesNotReachTheLog()
    {
        MLContext context = new();
        int messages = 0;
        context.Log += (_, _) => messages++;

        using (IProgressChannel progress = ((IProgressChannelProvider)context).StartProgressChannel("Training"))
        {
            progress.SetHeader(new ProgressHeader(["Loss"], ["epochs"]), entry => entry.SetProgress(0, 1, 10));
            progress.Checkpoint(0.5, 1);
        }

        Assert.Equal(0, messages);
        Assert.Equal(["epochs"], new ProgressHeader("epochs").UnitNames);
    }

    [Fact]
    public void SeedsDecideTheRandomNumbersOfHosts()
    {
        int Draw(MLContext context) => ((IHostEnvironment)context).Register("Mine").Rand.Next();

        Assert.Equal(Draw(new MLContext(3)), Draw(new MLContext(3)));
        Assert.NotEqual(Draw(new MLContext(3)), Draw(new MLContext(4)));
        MLContext context = new(3);
        Assert.NotEqual(Draw(context), Draw(context));
        Assert.Equal(
            ((IHostEnvironment)context).Register("A", seed: 9).Rand.Next(),
            ((IHostEnvironment)new MLContext(8)).Register("B", seed: 9).Rand.Next());
    }

    [Fact]
    public void ContextsHaveOptions()
    {
        MLContext context = new();

        Assert.Null(context.GpuDeviceId);
        Assert.False(context.FallbackToCpu);
        Assert.Equal(Path.GetTempPath(), context.TempFilePath);
        context.GpuDeviceId = 1;
        context.FallbackToCpu = true;
        context.TempFilePath = "/elsewhere";
        Assert.Equal((1, true, "/elsewhere"), (context.GpuDeviceId, context.FallbackToCpu, context.TempFilePath));
        Assert.True(context.TryAddOption("x", 5));
        Assert.False(context.TryAddOption("x", 6));
        Assert.True(context.TryGetOption("x", out int x));
        Assert.Equal(5, x);
        context.SetOption("x", 7);
        Assert.Equal(7, context.GetOptionOrDefault<int>("x"));
        Assert.True(context.RemoveOption("x"));
        Assert.False(context.TryGetOption("x", out int gone));
        Assert.Equal(0, gone);
        Assert.Equal(0, context.GetOptionOrDefault<int>("x"));
    }

    [Fact]
    public void ExceptionsAreMarkedWithTheirSource()
    {
        IHost host = ((IHostEnvironment)new MLContext()).Register("Mine");
        InvalidOperationException error = new("x");

        Assert.Same(error, host.Process(error));
        Assert.Equal("Environment", error.Data["Throwing component"]);
        using (IChannel channel = host.Start("Work"))
        {
            channel.Process(error);
        }

        Assert.Equal(("Mine", "Work"), (error.Data["Throwing component"], error.Data["Phase"]));
        Assert.Throws<ArgumentOutOfRangeException>(() => host.Register(""));
    }

    [Fact]
    public void ContextsMixWithinAChain()
    {
        IDataView view = new NumbersView(1, 2);
        ITransformer model = new MLContext(1).Transforms.CopyColumns("A", "Number")
            .Append(new MLContext(2).Transforms.Conversion.MapValueToKey("A")).Fit(view);

        Assert.Equal([1u, 2], model.Transform(view).Values<uint>("A"));
    }
}
