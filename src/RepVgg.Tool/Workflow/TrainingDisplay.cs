using System.Diagnostics;
using System.Globalization;
using RepVgg.Training;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace RepVgg.Tool.Workflow;

/// <summary>
/// Shows the progress of training. On a terminal, these are a bar for the epochs and one for the batches of the epoch, with loss, accuracy, speed and remaining time; otherwise, they are
/// lines of text without escape codes.
/// </summary>
internal abstract class TrainingDisplay
{
    private static bool IsTerminal => AnsiConsole.Profile is { Out.IsTerminal: true, Capabilities: { Interactive: true, Ansi: true } };

    /// <summary>Runs an action that reports its progress.</summary>
    public static T Run<T>(Func<Action<TrainingProgress>, T> work) => IsTerminal
        ? AnsiConsole.Live(Text.Empty).AutoClear(true).Start(context => work(new BarDisplay(context).Report))
        : work(new PlainDisplay().Report);

    /// <summary>Writes a line of text; on a terminal, above the bars.</summary>
    public static void WriteLine(string text)
    {
        if (IsTerminal)
            WriteAbove(text, Style.Plain);
        else
            Console.WriteLine(text);
    }

    public abstract void Report(TrainingProgress progress);

    /// <summary>The figures of a complete epoch.</summary>
    private static IEnumerable<string> Figures(EpochResult epoch, TrainingProgress progress)
    {
        yield return Invariant($"epoch {epoch.Epoch,3}/{progress.Epochs}");
        yield return Invariant($"loss {epoch.TrainingLoss:f3}");
        yield return epoch.TrainingMeanIoU is { } meanIoU ? Invariant($"mean IoU {meanIoU:f3}") : Invariant($"accuracy {epoch.TrainingAccuracy:p1}");
        if (epoch.ValidationMeanIoU is { } validationIoU)
            yield return Invariant($"validation {validationIoU:f3}");
        else if (epoch.ValidationAccuracy is { } accuracy)
            yield return Invariant($"validation {accuracy:p1}");
        if (epoch.ValidationTop5Accuracy is { } top5)
            yield return Invariant($"top-5 {top5:p1}");
        yield return Invariant($"{epoch.TrainingImagesPerSecond,7:n0} images/s");
    }

    /// <summary>Writes a line over the bars, which move down. It is as wide as the terminal, so that nothing of the bars stays.</summary>
    private static void WriteAbove(string text, Style style) => AnsiConsole.Write(new Rows(Align.Left(new Text(text, style))));

    private static string Score(TrainingProgress progress) => progress.MeanIoU is { } meanIoU ? Invariant($"mean IoU {meanIoU:f3}") : Invariant($"accuracy {progress.Accuracy:p1}");

    private static string Clock(TimeSpan time) =>
        time.TotalHours >= 1 ? Invariant($"{(int)time.TotalHours}:{time:mm\\:ss}") : time.ToString("mm\\:ss", CultureInfo.InvariantCulture);

    private sealed class PlainDisplay : TrainingDisplay
    {
        private static readonly TimeSpan _interval = TimeSpan.FromSeconds(10);
        private long _last = Stopwatch.GetTimestamp();

        public override void Report(TrainingProgress progress)
        {
            if (progress.EpochResult is { } epoch)
                Console.WriteLine($"{string.Join("  ", Figures(epoch, progress))}  left {Clock(progress.Remaining)}");
            else if (Stopwatch.GetElapsedTime(_last) >= _interval)
                Console.WriteLine(Invariant($"epoch {progress.Epoch,3}/{progress.Epochs}  {(progress.IsValidation ? "validating" : "training")}, batch {progress.Step}/{progress.Steps}  loss {progress.Loss:f3}  {Score(progress)}  {progress.ImagesPerSecond,7:n0} images/s  left {Clock(progress.Remaining)}"));
            else
                return;
            _last = Stopwatch.GetTimestamp();
        }
    }

    private sealed class BarDisplay(LiveDisplayContext context) : TrainingDisplay
    {
        private const int WidestBar = 60, NarrowestBar = 4;

        private static readonly TimeSpan _interval = TimeSpan.FromSeconds(0.1);
        private long _last;
        private double _trainingSpeed;

        // The last columns stay empty: terminals show Ctrl-C as ^C, and would begin a new line.
        private static int Width => AnsiConsole.Profile.Width - 3;

        public override void Report(TrainingProgress progress)
        {
            if (progress.EpochResult is { } epoch)
            {
                foreach (string line in Flow(Figures(epoch, progress)))
                    WriteAbove(line, Color.Grey);
                return;
            }
            // During validation, the displayed speed is still that of training.
            if (!progress.IsValidation)
                _trainingSpeed = progress.ImagesPerSecond;
            if (_last != 0 && Stopwatch.GetElapsedTime(_last) < _interval)
                return;
            _last = Stopwatch.GetTimestamp();
            context.UpdateTarget(new Rows(Lines(progress)));
        }

        private IEnumerable<IRenderable> Lines(TrainingProgress progress)
        {
            double step = (double)progress.Step / progress.Steps, epoch = progress.Epoch - 1 + (progress.IsValidation ? 1 : step);
            string epochs = Invariant($"epoch {progress.Epoch}/{progress.Epochs}"), steps = Invariant($"{(progress.IsValidation ? "validation" : "batch")} {progress.Step}/{progress.Steps}");
            string left = $"left {Clock(progress.Remaining)}";
            int label = Math.Max(Invariant($"epoch {progress.Epochs}/{progress.Epochs}").Length, Invariant($"validation {progress.Steps}/{progress.Steps}").Length);
            int bar = Math.Min(Width - label - left.Length - 2, WidestBar);
            yield return Bar(epochs.PadRight(label), epoch / progress.Epochs, bar, left);
            yield return Bar(steps.PadRight(label), step, bar, "");
            foreach (string line in Flow([Invariant($"loss {progress.Loss:f3}"), Score(progress), Invariant($"{_trainingSpeed:n0} images/s")]))
                yield return new Text(line);
        }

        private static Paragraph Bar(string label, double share, int width, string end)
        {
            var (done, open) = AnsiConsole.Profile.Capabilities.Unicode ? ('━', '─') : ('#', '-');
            int filled = Math.Clamp((int)(share * width), 0, Math.Max(width, 0));
            var line = new Paragraph(label + " ") { Overflow = Overflow.Crop };
            if (width >= NarrowestBar)
                line.Append(new string(done, filled), Color.Blue).Append(new string(open, width - filled), Color.Grey).Append(" ");
            return line.Append(end);
        }

        /// <summary>Puts texts into lines of the terminal, none of which is too long.</summary>
        private static List<string> Flow(IEnumerable<string> texts)
        {
            var lines = new List<string>();
            foreach (string text in texts)
            {
                if (lines.Count > 0 && lines[^1].Length + 2 + text.Length <= Width)
                    lines[^1] += "  " + text;
                else
                    lines.Add(lines.Count == 0 ? text : "  " + text.TrimStart());
            }
            return lines;
        }
    }
}
