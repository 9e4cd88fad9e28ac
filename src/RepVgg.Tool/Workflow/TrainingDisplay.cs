using System.Diagnostics;
using System.Globalization;
using RepVgg.Training;
using Spectre.Console;

namespace RepVgg.Tool.Workflow;

/// <summary>Shows the progress of training: on a terminal, a progress bar with loss, accuracy, speed and remaining time; otherwise, lines of text.</summary>
internal abstract class TrainingDisplay
{
    /// <summary>Runs an action with a progress bar if the output is a terminal, and with lines of text otherwise.</summary>
    public static T Run<T>(Func<Action<TrainingProgress>, T> work)
    {
        if (Console.IsOutputRedirected || !AnsiConsole.Profile.Capabilities.Interactive)
            return work(new PlainDisplay().Report);
        return AnsiConsole.Progress()
            .AutoClear(true)
            .HideCompleted(false)
            .Columns(new ProgressBarColumn { Width = 12 }, new TaskDescriptionColumn { Alignment = Justify.Left })
            .Start(context => work(new BarDisplay(context.AddTask("starting")).Report));
    }

    public abstract void Report(TrainingProgress progress);

    private static string Line(EpochResult epoch, TrainingProgress progress)
    {
        string validation = epoch.ValidationAccuracy is { } accuracy ? Invariant($"  validation {accuracy:p1}") : "";
        return Invariant($"epoch {epoch.Epoch,3}/{progress.Epochs}  loss {epoch.TrainingLoss:f3}  accuracy {epoch.TrainingAccuracy:p1}{validation}  {epoch.TrainingImagesPerSecond,7:n0} images/s");
    }

    private static string Clock(TimeSpan time) =>
        time.TotalHours >= 1 ? Invariant($"{(int)time.TotalHours}:{time:mm\\:ss}") : time.ToString("mm\\:ss", CultureInfo.InvariantCulture);

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private sealed class PlainDisplay : TrainingDisplay
    {
        private static readonly TimeSpan _interval = TimeSpan.FromSeconds(10);
        private long _last = Stopwatch.GetTimestamp();

        public override void Report(TrainingProgress progress)
        {
            if (progress.EpochResult is { } epoch)
                Console.WriteLine($"{Line(epoch, progress)}  left {Clock(progress.Remaining)}");
            else if (Stopwatch.GetElapsedTime(_last) >= _interval)
                Console.WriteLine(Invariant($"epoch {progress.Epoch,3}/{progress.Epochs}  {(progress.IsValidation ? "validating" : "training")}, batch {progress.Step}/{progress.Steps}  loss {progress.Loss:f3}  accuracy {progress.Accuracy:p1}  {progress.ImagesPerSecond,7:n0} images/s  left {Clock(progress.Remaining)}"));
            else
                return;
            _last = Stopwatch.GetTimestamp();
        }
    }

    private sealed class BarDisplay(ProgressTask task) : TrainingDisplay
    {
        private double _trainingSpeed;

        public override void Report(TrainingProgress progress)
        {
            if (progress.EpochResult is { } epoch)
            {
                AnsiConsole.MarkupLineInterpolated(CultureInfo.InvariantCulture, $"[grey]{Line(epoch, progress)}[/]");
                return;
            }
            // During validation, the displayed speed is still that of training.
            if (!progress.IsValidation)
                _trainingSpeed = progress.ImagesPerSecond;
            task.MaxValue = progress.Epochs;
            task.Value = progress.Epoch - 1 + (progress.IsValidation ? 1 : (double)progress.Step / progress.Steps);
            task.Description = Invariant($"epoch {progress.Epoch}/{progress.Epochs}, loss {progress.Loss:f2}, accuracy {progress.Accuracy:p1}, {_trainingSpeed:n0} images/s, left {Clock(progress.Remaining)}");
        }
    }
}
