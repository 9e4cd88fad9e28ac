using System.Text;
using System.Text.RegularExpressions;
using RepVgg.Tool.Workflow;
using RepVgg.Training;
using Spectre.Console;
using Xunit;

namespace RepVgg.Tool.Tests;

/// <summary>The bars that show the progress of training on a terminal.</summary>
[Collection(ConsoleCollection.Name)]
public class TrainingDisplayTests
{
    [Theory]
    [InlineData(40)]
    [InlineData(80)]
    [InlineData(200)]
    public void Bars_fit_the_terminal_and_say_everything(int width)
    {
        string output = Show(width, ColorSystemSupport.TrueColor);
        // The cursor is hidden, and shown again at the end.
        Assert.True(output.LastIndexOf("\e[?25h", StringComparison.Ordinal) > output.LastIndexOf("\e[?25l", StringComparison.Ordinal));
        string[] lines = [.. Regex.Replace(output, @"\e\[[?0-9;]*[A-Za-z]", "").Split('\n', '\r')];
        Assert.All(lines, line => Assert.InRange(line.Length, 0, width));
        string bar = lines.First(line => line.StartsWith("epoch 12/40 ", StringComparison.Ordinal));
        Assert.EndsWith(" left 03:20", bar.TrimEnd(), StringComparison.Ordinal);
        // 11 epochs and a quarter of 40.
        Assert.Equal(11.25 / 40, (double)bar.Count(c => c == '━') / bar.Count(c => c is '━' or '─'), 0.1);
        bar = lines.First(line => line.StartsWith("batch 250/1000 ", StringComparison.Ordinal));
        Assert.Equal(0.25, (double)bar.Count(c => c == '━') / bar.Count(c => c is '━' or '─'), 0.1);
        foreach (string figure in new[] { "loss 0.512", "accuracy 81.3 %", "1,234 images/s", "epoch  12/40", "loss 0.400", "accuracy 85.0 %", "validation 83.0 %", "    200 images/s" })
            Assert.Contains(lines, line => line.Contains(figure.TrimStart(), StringComparison.Ordinal));
        Assert.Contains("a warning", string.Concat(lines), StringComparison.Ordinal);
    }

    [Fact]
    public void Without_colours_the_bars_are_still_visible()
    {
        string output = Show(80, ColorSystemSupport.NoColors);
        Assert.DoesNotMatch(@"\e\[[0-9;]*m", output);
        Assert.Matches("━+─+", output);
    }

    [Fact]
    public void Terminals_without_escape_codes_get_lines()
    {
        var output = Console.Out;
        using var written = new StringWriter();
        Console.SetOut(written);
        try
        {
            Assert.Equal("", Show(80, ColorSystemSupport.NoColors, AnsiSupport.No));
        }
        finally
        {
            Console.SetOut(output);
        }
        Assert.DoesNotContain('\e', written.ToString());
        Assert.Contains("epoch  12/40  loss 0.400  accuracy 85.0 %  validation 83.0 %      200 images/s  left 03:20", written.ToString(), StringComparison.Ordinal);
    }

    private static string Show(int width, ColorSystemSupport colours, AnsiSupport ansi = AnsiSupport.Yes)
    {
        var progress = new TrainingProgress
        {
            Epoch = 12, Epochs = 40, Step = 250, Steps = 1000, IsValidation = false, Loss = 0.512, Accuracy = 0.813, LearningRate = 0.1f,
            ImagesPerSecond = 1234, Elapsed = TimeSpan.FromSeconds(100), Remaining = TimeSpan.FromSeconds(200),
        };
        var result = new EpochResult(12, 0.1f, 0.4, 0.85, 0.5, 0.83) { TrainingImages = 800, TrainingTime = TimeSpan.FromSeconds(4), ValidationTime = TimeSpan.FromSeconds(1) };
        var terminal = new Terminal(width);
        var console = AnsiConsole.Console;
        AnsiConsole.Console = AnsiConsole.Create(new AnsiConsoleSettings { Ansi = ansi, ColorSystem = colours, Interactive = InteractionSupport.Yes, Out = terminal });
        try
        {
            AnsiConsole.Profile.Capabilities.Unicode = true;
            TrainingDisplay.Run(report =>
            {
                report(progress);
                TrainingDisplay.WriteLine("a warning");
                report(progress with { EpochResult = result });
                return 0;
            });
            return terminal.Writer.ToString()!;
        }
        finally
        {
            AnsiConsole.Console = console;
        }
    }

    /// <summary>A terminal that keeps what is written to it.</summary>
    private sealed class Terminal(int width) : IAnsiConsoleOutput
    {
        public TextWriter Writer { get; } = new StringWriter();

        public bool IsTerminal => true;

        public int Width => width;

        public int Height => 24;

        public void SetEncoding(Encoding encoding)
        {
        }
    }
}
